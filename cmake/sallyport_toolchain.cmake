# Warnings, sanitizers, hardening: one interface target each.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fcoroutines>)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # clang takes the coroutine keywords from -std=c++20 alone.
  set_property(DIRECTORY PROPERTY COMPILE_OPTIONS "")
endif()

add_library(sallyport_warnings INTERFACE)
target_compile_options(sallyport_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Werror>
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Werror>)

if(SALLYPORT_SANITIZE)
  add_compile_options(-fsanitize=${SALLYPORT_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SALLYPORT_SANITIZE})
  if(SALLYPORT_SANITIZE MATCHES undefined)
    # A null pointer is caught by ASan's fault handler as well; these three cost a third of the compile time.
    add_compile_options(-fno-sanitize=vptr,null,object-size)
  endif()
  if(SALLYPORT_SANITIZE MATCHES thread)
    # g++ 12 takes an empty optional in a large frame for uninitialised once tsan has instrumented it.
    add_compile_options(-Wno-tsan -Wno-maybe-uninitialized)
  endif()
endif()

if(SALLYPORT_HARDEN)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()

if(SALLYPORT_REPRODUCIBLE)
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -fno-record-gcc-switches -Werror=date-time)
  add_link_options(-Wl,--build-id=sha1)
endif()

find_program(MOLD mold)
if(MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT SALLYPORT_HARDEN)
  add_link_options(-fuse-ld=mold)
endif()

# Known-bad variants: each must turn the test suite red (tests/planted/run). Never set in a build that anybody uses. The rooms give the
# definition to the one file that the bug is in, so that going from one variant to the next compiles little.
set(planted_bugs offered_key_is_identity user_change_keeps_state exec_unrecorded null_password_accepted host_key_unchecked)
set(SALLYPORT_PLANTED_DEFINITION "")
if(SALLYPORT_PLANTED_BUG)
  if(NOT SALLYPORT_PLANTED_BUG IN_LIST planted_bugs)
    message(FATAL_ERROR "SALLYPORT_PLANTED_BUG=${SALLYPORT_PLANTED_BUG}: choose one of ${planted_bugs}")
  endif()
  message(WARNING "This build has a planted bug: ${SALLYPORT_PLANTED_BUG}")
  string(TOUPPER SALLYPORT_PLANTED_${SALLYPORT_PLANTED_BUG} SALLYPORT_PLANTED_DEFINITION)
endif()
