// The shortest guest: its first instruction is a port write that the monitor sees, its second halts. For measurements.
// The same bytes serve both entry points, 32-bit (PVH) and 64-bit (Linux).
        .section .note.pvh, "a", @note
        .align 4
        .long 4, 4, 18
        .asciz "Xen"
        .long entry_linux64

        .section .text.entry, "ax"
        .globl entry_linux64
entry_linux64:
        out     %al, $0x80
1:      hlt
        jmp     1b
        .section .note.GNU-stack, "", @progbits
