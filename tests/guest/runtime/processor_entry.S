// The path of a started processor: real mode at TRAMPOLINE_ADDRESS (the copied part), protected mode, long mode, C.
        .text
        .code16
        .globl processor_trampoline, processor_trampoline_end
processor_trampoline:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   (trampoline_gdt_pointer - processor_trampoline)
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $0x30, $processor_32
        .align 4
trampoline_gdt_pointer:
        .word   0x37                    // seven entries
        .long   gdt
processor_trampoline_end:

        .code32
processor_32:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $page_map_level4, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000001, %eax
        mov     %eax, %cr0
        ljmp    $0x08, $processor_64

        .code64
processor_64:
        mov     $1, %edi
        lock xaddl %edi, processors_running     // our index: how many ran before
        mov     %edi, %eax
        inc     %eax
        shl     $12, %rax                       // STACK_SIZE
        lea     processor_stacks(%rax), %rsp
        xor     %ebp, %ebp
        call    processor_main
        .section .note.GNU-stack, "", @progbits
