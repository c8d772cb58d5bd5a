# Third-party libraries. All come from the distribution; scripts/setup installs them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(liburing REQUIRED liburing>=2.3)
# The archive, not the shared library: the programs are static.
find_library(LIBURING_ARCHIVE liburing.a REQUIRED)
add_library(wisp_liburing INTERFACE)
target_link_libraries(wisp_liburing INTERFACE ${LIBURING_ARCHIVE})
pkg_check_modules(libsodium REQUIRED libsodium>=1.0.18)
find_library(LIBSODIUM_ARCHIVE libsodium.a REQUIRED)
add_library(wisp_libsodium INTERFACE)
target_link_libraries(wisp_libsodium INTERFACE ${LIBSODIUM_ARCHIVE})
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Catch2 2.13 REQUIRED)

add_library(wisp_json INTERFACE)
target_link_libraries(wisp_json INTERFACE nlohmann_json::nlohmann_json)

# cpp-httplib header-only, without TLS: the distribution's binary package is a shared library with OpenSSL; its source
# package holds the single header, which scripts/setup unpacks to .cache/httplib.
find_path(HTTPLIB_INCLUDE_DIR httplib.h HINTS ${CMAKE_SOURCE_DIR}/.cache/httplib NO_DEFAULT_PATH)
if(NOT HTTPLIB_INCLUDE_DIR)
  message(FATAL_ERROR "httplib.h is missing. Run scripts/setup, which fetches the distribution's source package.")
endif()
add_library(wisp_httplib INTERFACE)
target_include_directories(wisp_httplib SYSTEM INTERFACE ${HTTPLIB_INCLUDE_DIR})
# poll instead of select: a descriptor above FD_SETSIZE must not be refused.
target_compile_definitions(wisp_httplib INTERFACE CPPHTTPLIB_USE_POLL)
target_link_libraries(wisp_httplib INTERFACE Threads::Threads)
