#include "runtime/mem.h"

volatile struct mem_response mem_response;

void mem_start(struct virtio_device* mem, const struct boot_info* boot, unsigned ring) {
  virtio_bind_queues(mem, 1, virtio_find(boot, VIRTIO_ID_MEM, 0), ring);
  virtio_start(mem, MEM_FEATURES);
}

enum mem_answer mem_ask(struct virtio_device* mem, enum mem_type type, uint64_t address, uint16_t blocks) {
  static struct mem_request request;
  request = (struct mem_request){.type = (uint16_t)type, .address = address, .blocks = blocks};
  mem_response.type = MEM_NOTHING;
  virtio_exchange(mem, &request, sizeof request, (void*)&mem_response, sizeof mem_response);
  return (enum mem_answer)mem_response.type;
}
