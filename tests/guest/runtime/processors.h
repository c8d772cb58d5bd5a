// Starts the other processors: ids from the MADT, INIT and SIPI by the local APIC (Intel SDM volume 3, 9.4.4).
#pragma once

#include "runtime/acpi.h"

enum { MAX_PROCESSORS = 32 };

// Runs on each started processor with its own stack, interrupts off; `index` counts from 1. Must not return.
typedef void (*processor_task)(unsigned index);

// Returns the number of processors that run, this one included; fails the guest when one does not come up.
unsigned start_processors(const struct acpi_summary* acpi, processor_task task);

// Leaves for CPL 3: on a host that interprets supervisor code, user code runs at full speed. Does not return.
__attribute__((noreturn)) void run_as_user(void (*task)(void), void* stack_top);
