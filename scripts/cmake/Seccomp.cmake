# The monitor's system call filters. A small host program compiles the policy with libseccomp at build time into plain
# arrays, so that the monitor needs no library and installs a filter with one call.

pkg_check_modules(libseccomp REQUIRED libseccomp>=2.5)
find_library(LIBSECCOMP_LIBRARY seccomp REQUIRED)
# Both without the sanitizers and the fuzzer's hooks: the program runs during the build.
add_library(wisp_seccomp_policy STATIC jailer/seccomp/policy/policy.cpp)
target_include_directories(wisp_seccomp_policy PUBLIC ${CMAKE_SOURCE_DIR})
add_executable(seccomp_policy jailer/seccomp/policy/main.cpp jailer/seccomp/policy/table.cpp)
target_link_libraries(seccomp_policy PRIVATE wisp_seccomp_policy ${LIBSECCOMP_LIBRARY})
foreach(target wisp_seccomp_policy seccomp_policy)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror)
endforeach()

set(WISP_SECCOMP_FILTERS ${CMAKE_BINARY_DIR}/seccomp/built_in.cpp)
add_custom_command(OUTPUT ${WISP_SECCOMP_FILTERS}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/seccomp
  COMMAND seccomp_policy emit ${WISP_SECCOMP_FILTERS}
  DEPENDS seccomp_policy VERBATIM)

wisp_library(wisp_seccomp jailer/seccomp wisp_base)
target_sources(wisp_seccomp PRIVATE ${WISP_SECCOMP_FILTERS})
