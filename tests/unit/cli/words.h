// A command line whose words outlive the parse.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace wisp {

class Words {
 public:
  Words(std::initializer_list<const char*> words) {
    for (const char* word : words) {
      storage_.emplace_back(word);
    }
    for (auto& word : storage_) {
      pointers_.push_back(word.data());
    }
  }
  std::span<char* const> view() const { return pointers_; }

 private:
  std::vector<std::string> storage_;
  std::vector<char*> pointers_;
};

}  // namespace wisp
