#include "platform/os/wiped_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace sallyport::os {
namespace {

bool is_wiping = false;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void* allocate(std::size_t size, std::size_t alignment) {
  for (;;) {
    void* memory = alignment == 0 ? std::malloc(size == 0 ? 1 : size) : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory != nullptr) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

void give_back(void* memory) noexcept {
  if (memory != nullptr && is_wiping) OPENSSL_cleanse(memory, malloc_usable_size(memory));
  std::free(memory);
}

#endif

}  // namespace

void wipe_freed_memory(bool on) noexcept { is_wiping = on; }

[[gnu::noinline]] void wipe_stack() noexcept {
  std::array<std::byte, 32 * 1024> below;
  OPENSSL_cleanse(below.data(), below.size());
}

}  // namespace sallyport::os

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// The other forms (arrays, nothrow) of the standard library call these.
void* operator new(std::size_t size) { return sallyport::os::allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) { return sallyport::os::allocate(size, static_cast<std::size_t>(alignment)); }
void operator delete(void* memory) noexcept { sallyport::os::give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { sallyport::os::give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { sallyport::os::give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { sallyport::os::give_back(memory); }
#endif
