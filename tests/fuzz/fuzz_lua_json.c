/* JSON → Lua → JSON: what the check accepts comes back as the same value; what it refuses is an error. Once written, a text
 * does not change any more, by the state nor by json.decode(json.encode()), and a view shows what the state holds. */
#include "../lua_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char keeper[] =
    "return { evolve = { Set = function(state, event) return event.data end,\n"
    "  Again = function(state, event) return json.decode(json.encode(event.data)) end },\n"
    "decide = { Show = function(state) return { type = 'T', data = { state = state } } end } }";

static void
require_true(bool condition, const char *what, cairn_str text)
{
    if (condition)
        return;
    fprintf(stderr, "%s: %.*s\n", what, (int)text.size, text.data);
    abort();
}

static cairn_err
evolve(struct lua_rig *rig, const char *type, cairn_str text)
{
    cairn_recorded event = {.stream = CAIRN_STR("s"), .event = {.type = cairn_cstr(type), .data = text}};
    return rig->decider->evolve(rig->self, rig->state, &event, &rig->error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lua_rig rig;
    if (!rig.decider)
        rig_open(&rig, keeper);
    cairn_str text = {(const char *)data, size};
    struct json value;
    bool valid = json_check(text, &value, NULL) == CAIRN_OK;
    cairn_err err = evolve(&rig, "Set", text);
    require_true(valid || err == CAIRN_E_SCRIPT, "accepted", text);
    if (err != CAIRN_OK) { /* numbers too large, halves of surrogate pairs */
        require_true(!valid || strstr(rig.error.detail, "surrogate") || strstr(rig.error.detail, "too large") ||
                         strstr(rig.error.detail, "nested"), rig.error.detail, text);
        return 0;
    }
    const char *saved = rig_save(&rig);
    struct buf first = {0};
    buf_put_str(&first, cairn_cstr(saved));
    require_true(json_check(buf_str(&first), &value, NULL) == CAIRN_OK, "wrote no JSON", buf_str(&first));
    for (int i = 0; i < 2; i++) {
        err = evolve(&rig, i ? "Again" : "Set", buf_str(&first));
        require_true(err == CAIRN_OK, rig.error.detail, buf_str(&first));
        require_true(cairn_str_equal(cairn_cstr(rig_save(&rig)), buf_str(&first)), "changed", buf_str(&first));
    }
    const char *shown = rig_decide(&rig, "Show", "{}");
    if (strncmp(shown, "T ", 2) == 0) /* one level more may be one too many */
        require_true(strncmp(shown + 2, "{\"state\":", 9) == 0 && strncmp(shown + 11, first.data, first.size) == 0, "shown",
                     buf_str(&first));
    else
        require_true(strstr(shown, "deeper than 128") != NULL, shown, buf_str(&first));
    buf_free(&first);
    return 0;
}
