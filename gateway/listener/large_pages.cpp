#include "gateway/listener/large_pages.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "platform/os/fd.h"

// Debian 12's headers are older than the kernels we run on.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace sallyport::gateway {
namespace {

constexpr std::uintptr_t k_large = 2 * 1024 * 1024;
constexpr std::uintptr_t k_small = 4096;

struct Segment {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;  ///< end of the last small page
  int protection = 0;
};

struct Segments {
  std::array<Segment, 8> list{};
  std::size_t count = 0;
};

extern "C" int collect_segments(dl_phdr_info* program, std::size_t, void* into) {
  auto& found = *static_cast<Segments*>(into);
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = program->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0 || found.count == found.list.size()) continue;
    const std::uintptr_t from = program->dlpi_addr + header.p_vaddr;
    const int protection = PROT_READ | ((header.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    found.list[found.count++] = {from, (from + header.p_memsz + k_small - 1) & ~(k_small - 1), protection};
  }
  return 1;  // the program itself comes first; libraries are not ours to move
}

bool write_all(const Fd& file, std::uintptr_t from, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pwrite(file.get(), reinterpret_cast<const void*>(from + done), size - done, static_cast<off_t>(done));
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

void enlarge(const Segment& segment) {
  const std::size_t used = segment.to - segment.from;
  if (segment.from % k_large != 0 || used < k_large / 2) return;
  const std::size_t whole = (used + k_large - 1) & ~(k_large - 1);
  void* const place = reinterpret_cast<void*>(segment.from);
  // What follows the segment up to the next large page must be free: it becomes part of the last one.
  if (whole > used) {
    void* const wanted = reinterpret_cast<void*>(segment.to);
    void* const rest = mmap(wanted, whole - used, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (rest == MAP_FAILED) return;
    if (rest != wanted) {
      munmap(rest, whole - used);
      return;
    }
  }
  Fd file(memfd_create("sallyport-code", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (!file) file = Fd(memfd_create("sallyport-code", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ftruncate(file.get(), static_cast<off_t>(whole)) != 0 || !write_all(file, segment.from, used)) return;
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return;
  // Collapsed elsewhere first: without large pages the program file's own mapping, shared with others, is the better one.
  void* const room = mmap(nullptr, whole + k_large, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return;
  const std::uintptr_t aligned = (reinterpret_cast<std::uintptr_t>(room) + k_large - 1) & ~(k_large - 1);
  void* const trial = mmap(reinterpret_cast<void*>(aligned), whole, segment.protection, MAP_PRIVATE | MAP_FIXED, file.get(), 0);
  const bool large = trial != MAP_FAILED && madvise(trial, whole, MADV_COLLAPSE) == 0;
  munmap(room, whole + k_large);
  // Nobody is there to be told when it fails: the code that would say so is what is mapped.
  if (large) static_cast<void>(mmap(place, whole, segment.protection, MAP_PRIVATE | MAP_FIXED, file.get(), 0));
}

}  // namespace

void use_large_pages_for_code() noexcept {
  Segments found;
  dl_iterate_phdr(collect_segments, &found);
  for (std::size_t i = 0; i < found.count; ++i) enlarge(found.list[i]);
}

}  // namespace sallyport::gateway
