#include "mask_test.h"

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "dispatch.h"
#include "mask.h"

namespace recur {
namespace tests {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Philox4x32-10 of Salmon et al. (2011), as the paper has it.
Words philox(Words counter, std::uint32_t first_key, std::uint32_t second_key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t one = std::uint64_t{0xd2511f53} * counter[0], other = std::uint64_t{0xcd9e8d57} * counter[2];
    counter = {static_cast<std::uint32_t>(other >> 32) ^ counter[1] ^ first_key, static_cast<std::uint32_t>(other),
               static_cast<std::uint32_t>(one >> 32) ^ counter[3] ^ second_key, static_cast<std::uint32_t>(one)};
    first_key += 0x9e3779b9;
    second_key += 0xbb67ae85;
  }
  return counter;
}

// The answers that its authors publish.
void known_answers() {
  context() = "Philox4x32-10";
  CHECK(philox({0, 0, 0, 0}, 0, 0) == (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, ones, ones) == (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Element `place` of a mask.
template <class T>
T element(const Mask<T>& mask, std::int64_t place) {
  const std::int64_t within = place % kMaskGroup, block = place / kMaskGroup * 16 + within % 16;
  const Words counter{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0};
  const Words words = philox(counter, static_cast<std::uint32_t>(mask.key), static_cast<std::uint32_t>(mask.key >> 32));
  return words[static_cast<std::size_t>(within / 16)] < mask.share * 4294967296.0 ? mask.value : 0;
}

template <class T>
Mask<T> some_mask(double share, std::int64_t count, T* data) {
  Mask<T> mask;
  mask.key = 0x0123456789abcdef + static_cast<std::uint64_t>(count);
  mask.share = share;
  mask.value = static_cast<T>(1.25);
  mask.count = count;
  mask.data = data;
  return mask;
}

template <class T>
void against_the_plain_generator() {
  for (const std::int64_t count : {0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 4096, 4099}) {
    for (const double share : {0.0, 1e-9, 0.1, 0.5, 0.9, 1.0}) {
      context() = "a mask of " + std::to_string(count) + ", share " + std::to_string(share);
      Buffer<T> buffer(count);
      const Mask<T> mask = some_mask(share, count, buffer.data());
      draw(mask, 3);
      for (std::int64_t i = 0; i < count; ++i) CHECK(buffer.data()[i] == element(mask, i));
    }
  }
  // Of all that there is before these, nothing needs to be drawn.
  for (const std::int64_t first : {kMaskGroup, std::int64_t{1} << 32, (std::int64_t{1} << 34) - kMaskGroup,
                                   (std::int64_t{1} << 40) + 3 * kMaskGroup}) {
    context() = "a mask from " + std::to_string(first) + " on";
    Buffer<T> buffer(200);
    const Mask<T> mask = some_mask<T>(0.5, first + 200, nullptr);
    kernels<T>().draw(mask, first, 200, buffer.data());
    for (std::int64_t i = 0; i < 200; ++i) CHECK(buffer.data()[i] == element(mask, first + i));
  }
}

template <class T>
void the_same_for_any_number_of_threads() {
  // As many as several threads share, and some more.
  constexpr std::int64_t kCount = (5 << 15) + 77;
  context() = "a mask in threads";
  std::vector<T> alone(kCount);
  draw(some_mask(0.3, kCount, alone.data()), 1);
  for (const int threads : {2, 3, 4, 7}) {
    Buffer<T> buffer(kCount);
    draw(some_mask(0.3, kCount, buffer.data()), threads);
    CHECK(std::memcmp(buffer.data(), alone.data(), sizeof(T) * kCount) == 0);
  }
}

}  // namespace

void masks() {
  known_answers();
  against_the_plain_generator<float>();
  against_the_plain_generator<double>();
  the_same_for_any_number_of_threads<float>();
  the_same_for_any_number_of_threads<double>();
}

}  // namespace tests
}  // namespace recur
