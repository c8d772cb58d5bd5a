// Does the machine have the boot-time marker device (--boot-timer)?
#pragma once

namespace wisp {

enum class BootTimerDevice { Absent, Present };

}  // namespace wisp
