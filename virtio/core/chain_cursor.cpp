#include "virtio/core/chain_cursor.h"

#include <algorithm>

namespace wisp {

ChainCursor::Piece ChainCursor::take_piece(std::uint32_t limit) {
  const std::uint32_t wanted = std::min(limit, remaining_);
  if (wanted == 0 || index_ >= segments_.size()) {
    return {};
  }
  const Segment& segment = segments_[index_];
  const std::uint32_t length = std::min(wanted, segment.length - offset_);
  const Piece piece{GuestAddress(segment.address + offset_), length};  // inside a checked segment: cannot wrap
  remaining_ -= length;
  offset_ += length;
  if (offset_ == segment.length) {
    offset_ = 0;
    ++index_;
  }
  return piece;
}

void ChainCursor::skip(std::uint32_t count) {
  while (count > 0) {
    const Piece piece = take_piece(count);
    if (piece.length == 0) {
      return;
    }
    count -= piece.length;
  }
}

bool ChainCursor::copy_out(std::span<std::byte> destination) {
  if (destination.size() > size_bytes()) {
    return false;
  }
  while (!destination.empty()) {
    const Piece piece = take_piece(static_cast<std::uint32_t>(destination.size()));
    const auto slice = memory_->readable(piece.address, piece.length);
    if (!slice) {
      return false;
    }
    slice->copy_to(destination.first(piece.length));
    destination = destination.subspan(piece.length);
  }
  return true;
}

bool ChainReader::read_bytes(std::span<std::byte> destination) {
  return copy_out(destination);
}

bool ChainWriter::read_back(std::span<std::byte> destination) {
  return copy_out(destination);
}

std::optional<ReadableSlice> ChainReader::next_slice() {
  const Piece piece = take_piece(size_bytes());
  return piece.length == 0 ? std::nullopt : memory_->readable(piece.address, piece.length);
}

bool ChainWriter::write_bytes(std::span<const std::byte> source) {
  if (source.size() > size_bytes()) {
    return false;
  }
  while (!source.empty()) {
    const Piece piece = take_piece(static_cast<std::uint32_t>(source.size()));
    if (!memory_->write_bytes(piece.address, source.first(piece.length))) {
      return false;
    }
    source = source.subspan(piece.length);
  }
  return true;
}

std::optional<WritableSlice> ChainWriter::next_slice() {
  const Piece piece = take_piece(size_bytes());
  return piece.length == 0 ? std::nullopt : memory_->writable(piece.address, piece.length);
}

ChainWriter ChainWriter::split_off(std::uint32_t kept_bytes) {
  ChainWriter tail = *this;
  tail.skip(kept_bytes);
  cut_to(std::min(kept_bytes, size_bytes()));
  return tail;
}

void ChainWriter::mark_written(std::uint32_t count) {
  while (count > 0) {
    const Piece piece = take_piece(count);
    const auto slice = piece.length == 0 ? std::nullopt : memory_->writable(piece.address, piece.length);
    if (!slice) {
      return;
    }
    slice->mark_dirty(0, piece.length);
    count -= piece.length;
  }
}

}  // namespace wisp
