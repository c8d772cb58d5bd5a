#include "vmm/memory/dirty_log.h"

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace wisp {
namespace {

TEST_CASE("A new log is clean and counts a part of a page as a page") {
  const DirtyLog log(3 * kPageSizeBytes + 1);
  CHECK(log.page_count() == 4);
  CHECK(log.dirty_page_count() == 0);
}

TEST_CASE("Marking touches exactly the pages of the range") {
  DirtyLog log(200 * kPageSizeBytes);
  log.mark(63 * kPageSizeBytes + 4095, 2);
  CHECK_FALSE(log.is_dirty(62));
  CHECK(log.is_dirty(63));
  CHECK(log.is_dirty(64));
  CHECK_FALSE(log.is_dirty(65));
  CHECK(log.dirty_page_count() == 2);
}

TEST_CASE("Marking nothing marks nothing, marking twice counts once") {
  DirtyLog log(10 * kPageSizeBytes);
  log.mark(kPageSizeBytes, 0);
  CHECK(log.dirty_page_count() == 0);
  log.mark(kPageSizeBytes, 1);
  log.mark(kPageSizeBytes + 5, 1);
  CHECK(log.dirty_page_count() == 1);
}

TEST_CASE("The whole range and its last byte can be marked, and cleared") {
  DirtyLog log(130 * kPageSizeBytes);
  log.mark(130 * kPageSizeBytes - 1, 1);
  CHECK(log.is_dirty(129));
  log.mark(0, 130 * kPageSizeBytes);
  CHECK(log.dirty_page_count() == 130);
  log.clear();
  CHECK(log.dirty_page_count() == 0);
}

TEST_CASE("Threads that mark pages of the same word lose none") {
  DirtyLog log(64 * kPageSizeBytes);
  std::vector<std::thread> threads;
  for (std::uint64_t first = 0; first < 4; ++first) {
    threads.emplace_back([&log, first] {
      for (std::uint64_t page = first; page < 64; page += 4) {
        log.mark(page * kPageSizeBytes, 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(log.dirty_page_count() == 64);
}

}  // namespace
}  // namespace wisp
