// echo_floor: what a request over a Unix socket costs without any work. Accepts one connection on the given path and
// sends back whatever comes, until the client goes.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

int main(int argc, char** argv) {
  if (argc != 2) {
    return 2;
  }
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(listener, 1) != 0) {
    return 1;
  }
  const int client = accept(listener, nullptr, nullptr);
  char buffer[4096];
  for (ssize_t count = 0; (count = read(client, buffer, sizeof(buffer))) > 0;) {
    (void)!write(client, buffer, static_cast<size_t>(count));
  }
  return 0;
}
