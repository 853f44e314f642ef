/* Any text as a decider, under small budgets: it is refused or it loads; what loads decides and evolves, or fails with a
 * text; nothing takes long, and a machine beside it does not notice. */
#include "../lua_rig.h"

#include <os/thread.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Snippets in the input's place of bytes below 32 (but for white space), so that mutations meet what the sandbox offers. */
static const char *const words[] = {
    "return { decide = { C = function(state, command) ", " end }, evolve = { E = function(state, event) ", " end } }",
    "local t = {} ", "for k, v in pairs(t) do ", "pcall(", "error(", "setmetatable(", "string.rep(", "('x'):gsub(",
    "table.concat(", "table.sort(", "coroutine.wrap(function() ", "json.encode(", "json.decode(", "require(", "reject(",
    "array(", "null", "state.", "command.data", "event.data", "while true do ", "function(...) ", " end ", "xpcall(",
    "tostring(", "next(", "rawset(", "..", "{", "}"};

static void
expand(struct buf *to, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] < 32 && data[i] != '\n' && data[i] != '\t')
            buf_put_str(to, cairn_cstr(words[data[i] % (sizeof words / sizeof words[0])]));
        else
            buf_put_char(to, (char)data[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lua_rig bystander;
    if (!bystander.decider)
        rig_open(&bystander, "return { decide = { C = function(state, command) return { type = ('t'):upper() } end } }");
    if (size > 4096)
        return 0;
    struct buf source = {0};
    expand(&source, data, size);
    cairn_app_file file = {CAIRN_STR("order.lua"), buf_str(&source)};
    struct lua_sources sources = {&file, 1};
    struct lua_rig rig = {.limits = {.instructions_max = 20000, .memory_max = 1 << 20, .output_max = 65536}};
    int64_t from_us = os_thread_cpu_us();
    cairn_err err = lua_decider_make("order", CAIRN_STR("order.lua"), &sources, &rig.limits, &rig.decider, &rig.error);
    if (err == CAIRN_OK && rig_start(&rig) == CAIRN_OK) {
        rig_decide(&rig, "C", "{\"n\":[1,2,{\"x\":null}],\"s\":\"text\"}");
        rig_evolve(&rig, "E", "{\"n\":[1,2,{\"x\":null}],\"s\":\"text\"}");
        rig_decide(&rig, "C", "{}");
        rig_save(&rig);
    }
    if (os_thread_cpu_us() - from_us > 5000000 || strcmp(rig_decide(&bystander, "C", "{}"), "T {}\n") != 0) {
        fprintf(stderr, "slow, or not alone\n");
        abort();
    }
    rig_close(&rig);
    buf_free(&source);
    return 0;
}
