#pragma once

// Serves the disk over the socket until the front end goes; the exit code.
int vhost_disk(const char* socket_path, const char* file);
