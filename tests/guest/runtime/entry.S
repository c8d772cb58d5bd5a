// How a test guest starts, by either boot protocol, until C code runs in 64-bit mode.
//
//   PVH            32-bit protected mode, no paging, %ebx = start_info; announced by the ELF note below
//   Linux 64-bit   long mode with the monitor's page tables, %rsi = zero page; the ELF entry point
//
// Both end in start64 with our own GDT, our own page tables (first 4 GiB, identity, 2 MiB pages) and our own stack.
// The page tables are data: on a slow host every instruction at CPL 0 counts.

#ifndef WISP_GUEST_WITHOUT_PVH
        .section .note.pvh, "a", @note
        .align 4
        .long 4                         // name size
        .long 4                         // description size
        .long 18                        // XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long entry_pvh
#endif

        .section .text.entry, "ax"
        .code32
        .globl entry_pvh
entry_pvh:
        cli
        mov     $page_map_level4, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x20, %eax             // PAE
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx       // EFER
        rdmsr
        or      $0x100, %eax            // LME
        wrmsr
        mov     %cr0, %eax
        or      $0x80000001, %eax       // PG, PE
        mov     %eax, %cr0
        lgdt    gdt_pointer
        mov     %ebx, %esi
        mov     $BOOT_PVH, %edi
        ljmp    $0x08, $start64

        .code64
        .globl entry_linux64
entry_linux64:
        cli
        lgdt    gdt_pointer
        mov     $page_map_level4, %rax
        mov     %rax, %cr3
        mov     $BOOT_LINUX64, %edi
        ljmp    *linux64_far_pointer

        .set BOOT_PVH, 1
        .set BOOT_LINUX64, 2

start64:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $stack_top, %rsp
        xor     %ebp, %ebp
        call    guest_start             // guest_start(protocol, boot structure)
1:      hlt
        jmp     1b

// Every exception ends in guest_fault(vector, error code, rip, cr2), which reports it and resets the machine.
        .macro exception number, has_code
        .align 16
        .if \has_code == 0
        push    $0
        .endif
        push    $\number
        jmp     exception_common
        .endm

        .text
        .align 16
        .globl exception_entries
exception_entries:                      // one every 16 bytes: the IDT's builder counts on it
        .set n, 0
        .rept 32
        .if n == 8 || n == 10 || n == 11 || n == 12 || n == 13 || n == 14 || n == 17 || n == 21
        exception n, 1
        .else
        exception n, 0
        .endif
        .set n, n + 1
        .endr

exception_common:
        pop     %rdi
        pop     %rsi
        mov     (%rsp), %rdx
        mov     %cr2, %rcx
        and     $-16, %rsp
        call    guest_fault

// The one device interrupt: counts and acknowledges at the local APIC.
        .align 16
        .globl interrupt_entry
interrupt_entry:
        push    %rax
        mov     $0xfee000b0, %eax
        movl    $0, (%rax)
        lock incl interrupt_count
        pop     %rax
        iretq

        .data
        .align 16
        .globl gdt
gdt:    .quad 0
        .quad 0x00af9b000000ffff        // 0x08 kernel code, 64-bit
        .quad 0x00cf93000000ffff        // 0x10 data
        .quad 0x00cffb000000ffff        // 0x18 user code, 32-bit (unused, keeps the usual order)
        .quad 0x00cff3000000ffff        // 0x20 user data
        .quad 0x00affb000000ffff        // 0x28 user code, 64-bit
        .quad 0x00cf9b000000ffff        // 0x30 kernel code, 32-bit: a starting processor passes through it
gdt_end:
        .globl gdt_pointer
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt
linux64_far_pointer:
        .long   start64
        .word   0x08
        .globl interrupt_count
        .align 4
interrupt_count:
        .long   0

// 0x7 = present, writable, user (a second processor works at CPL 3); 0x87 adds "2 MiB page".
        .align 4096
        .globl page_map_level4
page_map_level4:
        .quad   page_directory_pointers + 7
        .fill   511, 8, 0
        .globl page_directory_pointers
page_directory_pointers:
        .quad   page_directories + 7
        .quad   page_directories + 0x1000 + 7
        .quad   page_directories + 0x2000 + 7
        .quad   page_directories + 0x3000 + 7
        .quad   high_window_directory + 7       // 4 GiB: a movable window, see map_high_window()
        .fill   507, 8, 0
page_directories:
        .set address, 0
        .rept 2048
        .quad   address + 0x87
        .set address, address + 0x200000
        .endr
        .globl high_window_directory
high_window_directory:
        .fill   512, 8, 0

        .bss
        .align 16
        .skip   16384
        .globl stack_top
stack_top:
        .section .note.GNU-stack, "", @progbits
