# Every compiler and linker flag of the project, in one place.
#   wisp_flags    language, warnings, hardening, sanitizers: for every library
#   wisp_program  how the two programs are linked: one static-PIE file each, nothing needed at run time
option(WISP_FUZZ "Build the fuzz targets (needs clang)" OFF)
option(WISP_TIDY "Run clang-tidy on every file" OFF)
set(WISP_SANITIZER "" CACHE STRING "Argument of -fsanitize= (empty: none)")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DWISP_RELEASE")
# The sanitizer and fuzz builds: quick to compile, line numbers in their reports.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

add_library(wisp_flags INTERFACE)
target_compile_options(wisp_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wimplicit-fallthrough -Werror
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -ftrivial-auto-var-init=zero
  -ffunction-sections -fdata-sections -fvisibility=hidden)
target_compile_definitions(wisp_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(wisp_flags INTERFACE -Wtrampolines -fzero-call-used-regs=used-gpr)
else()
  # clang 14 wants this said aloud for -ftrivial-auto-var-init=zero.
  target_compile_options(wisp_flags INTERFACE -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
    -Wno-gnu-statement-expression)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(wisp_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(WISP_SANITIZER)
  target_compile_options(wisp_flags INTERFACE -fsanitize=${WISP_SANITIZER} -fno-omit-frame-pointer)
  # g++ 12 gives false alarms in what the sanitizers instrument (uninitialised variables, fences under tsan); the same
  # files are compiled with warnings as errors without them.
  target_compile_options(wisp_flags INTERFACE -Wno-error -Wno-maybe-uninitialized)
  target_link_options(wisp_flags INTERFACE -fsanitize=${WISP_SANITIZER})
endif()
if(WISP_FUZZ)
  target_compile_options(wisp_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(wisp_flags INTERFACE -fsanitize=address,undefined)
endif()
if(WISP_TIDY)
  set(CMAKE_CXX_CLANG_TIDY clang-tidy-14)
endif()

# Code that runs when a client asks or a machine starts, not on a data path: in a release it is built for size, because every
# page of it counts in each of a host's monitors.
function(wisp_cold_code target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE -Os)
  endif()
endfunction()

add_library(wisp_program INTERFACE)
target_link_libraries(wisp_program INTERFACE wisp_flags)
if(NOT WISP_SANITIZER AND NOT WISP_FUZZ AND NOT WISP_TIDY)
  target_link_options(wisp_program INTERFACE
    -static-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code -Wl,-z,pack-relative-relocs -Wl,--gc-sections)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(wisp_program INTERFACE -s)
  endif()
endif()
