/*
 * A TCG plugin for user-mode QEMU: counts the instructions that one process executes in user space, over all of its threads, and
 * appends the sum to the file that the argument out= names.
 *
 * Debian does not ship qemu-plugin.h, so this file repeats the declarations that it uses (QEMU, include/qemu/qemu-plugin.h). QEMU
 * refuses plugins of an interface older than it supports, so the compiler's command line defines PLUGIN_VERSION.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *block, void (*executed)(unsigned int, void *), enum qemu_plugin_cb_flags flags, void *userdata);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*ended)(qemu_plugin_id_t, void *), void *userdata);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

/* Each thread has its own counter in its own cache line, so counting needs no locks. */
static struct {
    uint64_t instructions;
    uint64_t unused[7];
} threads[256];
static char out[4096];

static void executed(unsigned int thread, void *instructions) {
    threads[thread % 256].instructions += (uintptr_t)instructions;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, QEMU_PLUGIN_CB_NO_REGS, (void *)qemu_plugin_tb_n_insns(block));
}

static void ended(qemu_plugin_id_t id, void *unused) {
    (void)id;
    (void)unused;
    uint64_t sum = 0;
    for (int thread = 0; thread < 256; thread++) sum += threads[thread].instructions;
    FILE *file = fopen(out, "a");
    if (file == NULL) return;
    fprintf(file, "%llu\n", (unsigned long long)sum);
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || strlen(argv[0] + 4) >= sizeof out) return 1;
    strcpy(out, argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
