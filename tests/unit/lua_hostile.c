/* Goal: no script hangs, crashes, leaks, or touches another machine.
 * Method: each attack runs as a decider's decide (or while its module is loaded) under the default budgets; the call must
 * end within a bound of processor time, with the error that is expected or none, and the same instance must decide an
 * honest command afterwards. A second machine, opened before, must not notice. */
#include "../lua_rig.h"

#include <os/thread.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#define TIME_MAX_US (4 * 1000 * 1000)

struct attack {
    const char *body; /* of decide.Attack; `state` and `command` are there */
    const char *says; /* part of the error; "" when it must succeed with nothing; NULL: any outcome */
};

#define LOOP "instructions: an endless loop?"
#define MEMORY "more memory than"
#define BIG "local big = ('x'):rep(4000000) "

static const struct attack attacks[] = {
    /* loops, and what would catch their end */
    {"while true do end", LOOP},
    {"repeat until false", LOOP},
    {"local function f() return f() end return f()", LOOP},
    {"goto a ::a:: goto a", NULL},
    {"while true do pcall(function() while true do end end) end", LOOP},
    {"pcall(pcall, pcall, function() while true do end end)", LOOP},
    {"xpcall(function() while true do end end, function() while true do end end)", LOOP},
    {"xpcall(function() error('x') end, function(m) while true do end end)", LOOP},
    {"local function again() xpcall(error, again) again() end again()", NULL},
    {"xpcall(function() local function f() return 1 + f() end f() end, function(m) return m .. m end)", NULL},
    {"local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end", LOOP},
    {"for i = 1, 1000 do local x <close> = setmetatable({}, { __close = function() while true do end end }) end", LOOP},
    {"local x <close> = setmetatable({}, { __close = function() local y <close> = setmetatable({}, { __close = "
     "function() while true do end end }) while true do end end }) while true do end", LOOP},
    {"for i = 1, math.huge do end", LOOP},
    {"local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) return t[1]", NULL},
    {"local t = setmetatable({}, { __call = function(self) return self() end }) return t()", NULL},
    {"local t = {} setmetatable(t, { __index = t, __newindex = t }) t.x = t.y", NULL},
    {"local a = setmetatable({}, { __eq = function() while true do end end }) local b = setmetatable({}, "
     "getmetatable(a)) return a == b", LOOP},
    {"local a = setmetatable({}, { __lt = function(a, b) return a < b end }) return a < a", NULL},
    {"local a = setmetatable({}, { __concat = function(a, b) return a .. b end }) return a .. a", NULL},
    {"local a = setmetatable({}, { __tostring = function(a) return tostring(a) end }) return tostring(a)", NULL},
    {"local a = setmetatable({}, { __tostring = function(a) while true do end end }) error(a)", LOOP},
    {"local a = setmetatable({}, { __len = function(a) return #a end }) return #a", NULL},
    {"local a = setmetatable({}, { __pairs = function(a) return pairs(a) end }) pairs(a)", NULL},

    /* coroutines */
    {"coroutine.wrap(function() while true do end end)()", LOOP},
    {"while true do coroutine.resume(coroutine.create(function() while true do end end)) end", LOOP},
    {"local function f() coroutine.wrap(f)() end f()", NULL},
    {"local co = coroutine.create(function() while true do coroutine.yield() end end) while true do coroutine.resume(co) "
     "end", LOOP},
    {"local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() while true do end "
     "end }) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)", LOOP},
    {"local t = {} for i = 1, 1e6 do t[i] = coroutine.create(function() end) coroutine.resume(t[i]) end", NULL},
    {"coroutine.yield(1)", "outside a coroutine"},
    {"coroutine.wrap(function() reject('inner') end)()", ""},

    /* memory */
    {"local t = {} for i = 1, math.huge do t[i] = {} end", NULL},
    {"local s = 'x' while true do s = s .. s end", "bytes"},
    {"local t = {} while true do t[#t + 1] = ('x'):rep(1000000) end", NULL},
    {"while true do pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end end) end", NULL},
    {"local t = {} while true do local ok = pcall(string.rep, 'x', 1e9) t[#t + 1] = ok end", NULL},
    {"return ('x'):rep(1e9)", "too large"},
    {"local s = (''):rep(1 << 60)", ""},
    {"local s = (''):rep(1 << 62, '')", ""},
    {"return ('x'):rep(1 << 62, 'y')", "too large"},
    {"local function f(...) return f(1, ...) end f()", NULL},
    {"local function f() local a, b, c, d = 1, 2, 3, 4 return f() + a end f()", NULL},
    {"local s = ('x'):rep(100000) local t = {} for i = 1, 1e5 do t[i] = s end return table.concat(t)", NULL},
    {"local t = {} for i = 1, 20000 do t[i] = i end local function f(...) return select('#', ...) end "
     "while true do f(table.unpack(t)) end", "unpack"},
    {"local t = {} for i = 1, 8000 do t[i] = i end local function f(...) return ... end while true do "
     "f(f(f(table.unpack(t)))) end", NULL},
    {"local t = { n = {} } local at = t.n for i = 1, 1e7 do at.n = {} at = at.n end", NULL},

    /* C functions that loop */
    {"return ('x'):rep(100000):find(('.-'):rep(20) .. 'y')", LOOP},
    {"return ('a'):rep(50000):match('(.*)(.*)(.*)(.*)(.*)b')", LOOP},
    {"return ('a'):rep(100):match(('a?'):rep(100) .. ('a'):rep(101))", NULL},
    {"for s in ('a'):rep(30000):gmatch('.-.-.-b') do end", LOOP},
    {"return ('('):rep(1000000):find('%b()')", LOOP},
    {"while true do ('('):rep(100000):find('%b()') end", LOOP},
    {"return ('x'):rep(4000000):gsub('.', '%0%0%0%0%0%0%0%0')", NULL},
    {"return ('x'):rep(1000):gsub('', ('y'):rep(1000000))", NULL},
    {"return ('x'):rep(100):gsub('.', function() while true do end end)", LOOP},
    {"local function f(s) return (s:gsub('.', f)) end return f('x')", NULL},
    {"return ('x'):find(('('):rep(10000))", "pattern"},
    {"return ('x'):find(('[a'):rep(2000))", "pattern"},
    {"return ('x'):find(('(.-'):rep(100) .. (')'):rep(100))", "captures"},
    {BIG "while true do big:find('y', 1, true) end", LOOP},
    {BIG "while true do big:find('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy', 1, true) end", LOOP},
    {BIG "while true do big:upper() end", LOOP},
    {BIG "while true do big:reverse() end", LOOP},
    {BIG "while true do utf8.len(big) end", LOOP},
    {BIG "while true do utf8.offset(big, -1) end", LOOP},
    {BIG "utf8.codepoint(big, 1, -1)", "at once"},
    {BIG "return big:byte(1, -1)", "at once"},
    {BIG "while true do tonumber(big, 36) end", LOOP},
    {BIG "while true do local x = big .. 'y' end", LOOP},
    {BIG "local other = ('x'):rep(4000000) while true do local same = big == other end", "stopped"},
    {BIG "local other = big .. 'y' other = other:sub(1, -2) while true do local less = big < other end", "stopped"},
    {"local t = {} for i = 1, 400000 do t['k' .. i] = 1 end", NULL},
    {"local t = {} for i = 1, 200000 do t[i .. ''] = 1 end for i = 1, 200000 do t[i .. ''] = nil end while true do next(t) "
     "end", "stopped"},
    {"local t = {} for i = 1, 100000 do t[i .. ''] = 1 end for i = 1, 100000 do t[i .. ''] = nil end local l = {} for i = "
     "1, 100000 do l[i] = t end return { type = 'E', data = l }", NULL},
    {"local t = setmetatable({}, { __metatable = '', __index = getmetatable }) table.concat(t, '', 1, 1 << 60)", LOOP},
    {"table.move({}, 1, 1 << 60, 2)", LOOP},
    {"table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)", LOOP},
    {"table.remove(setmetatable({}, { __len = function() return 1 << 60 end }), 1)", LOOP},
    {"table.sort(setmetatable({}, { __len = function() return 1 << 29 end }))", NULL},
    {"table.unpack({}, 1, 1 << 60)", "unpack"},
    {"table.unpack({}, math.mininteger, math.maxinteger)", "unpack"},
    {"for i, v in ipairs(setmetatable({}, { __index = function() return 1 end })) do end", LOOP},
    {"for i, v in ipairs(setmetatable({}, { __metatable = 1, __index = getmetatable })) do end", LOOP},
    {"local t = {} for i = 1, 200000 do t[i] = i % 7 end table.sort(t, function(a, b) return true end)", NULL},
    {"local t = {} for i = 1, 2000 do t[i] = i end table.sort(t, function(a, b) return a > b or a == b end)", ""},
    {"local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() while true do end end)", LOOP},
    {"local t = { 3, 2, 1 } table.sort(t, function(a, b) table.sort(t, function() t[1] = nil t[7] = 3 return false end) "
     "return a and b and a < b end)", NULL},
    {"local t = { 3, 2, 1 } table.sort(t, function(a, b) for i = 1, 1000 do t[i] = i end return a < b end)", ""},
    {"return string.format(('%99d'):rep(10000), 1)", NULL},
    {"return string.format('%1000000d', 1)", "order.lua:5: invalid conversion"},
    {"return string.format('%.1000000f', 1)", "order.lua:5: invalid conversion"},
    {"return string.format('%99.99f', 1e308) and nil", ""},
    {"return string.format('%p', {})", "address"},
    {"while true do json.decode(json.encode({ ('x'):rep(500000) })) end", LOOP},
    {"return json.decode(('['):rep(1000000))", "JSON"},
    {"return json.decode(('['):rep(128) .. (']'):rep(128)) and nil", ""},
    {"return json.decode(('{\"a\":'):rep(100000))", "JSON"},
    {"local t = {} t.t = t json.encode(t)", "contains itself"},
    {"local t = {} for i = 1, 40 do t = { t, t } end json.encode(t)", "larger than"},
    {"local t = {} for i = 1, 200 do t = { t } end json.encode(t)", "deeper than 128"},
    {"return { type = 'E', data = { s = ('x'):rep(2000000) } }", "larger than"},
    {"local l = {} for i = 1, 100000 do l[i] = { type = 'E', data = { s = 'x' } } end l[1].data.s = ('x'):rep(1000000) return l", "larger than"},
    {"reject('code', 'message', { s = ('x'):rep(2000000) })", "larger than"},
    {"reject(('c'):rep(100000))", "128 bytes"},

    /* ways out */
    {"return os.time()", "no clock"},
    {"return io.open('/etc/passwd')", "no files"},
    {"load('return 1')()", "cannot load code"},
    {"loadstring('return 1')()", "nil value"},
    {"dofile('/etc/passwd')", "require()"},
    {"require('/etc/passwd')", "no module"},
    {"require('../../etc/passwd')", "no module"},
    {"require('order')", NULL},
    {"string.dump(function() end)", "nil value"},
    {"return ('x').dump(function() end)", "nil value"},
    {"debug.getregistry()", "nil value"},
    {"debug.sethook()", "nil value"},
    {"while true do debug.traceback(debug.getinfo(1)) end", LOOP},
    {"collectgarbage('stop')", "memory is looked after"},
    {"package.loadlib('libc.so.6', '*')", "nil value"},
    {"return math.random()", "no randomness"},
    {"getmetatable('').__index = nil", NULL},
    {"getmetatable('').__index.upper = nil", NULL},
    {"string.upper = nil", "may not be changed"},
    {"rawset(string, 'upper', nil)", "may not be changed"},
    {"setmetatable(string, {})", "protected"},
    {"setmetatable(_G, {})", "protected"},
    {"rawset(_G, 'x', 1)", "may not be changed"},
    {"x = 1", "global 'x'"},
    {"_G.x = 1", "global 'x'"},
    {"pcall = nil", "global 'pcall'"},
    {"honest = function() return 'broken' end", "global 'honest'"},
    {"local _ENV = { } x = 1", ""},
    {"setmetatable({}, { __gc = function() end })", "__gc"},
    {"setmetatable({}, { __mode = 'k' })", "__mode"},
    {"return tostring({}):find('0x') and error('an address')", ""},
    {"if tostring(print) .. tostring(coroutine.create(error)) ~= 'nilthread' then error('an address') end", ""},
    {"return string.format('%s', {}):find('0x') and error('an address')", ""},
    {"error({})", "table"},
    {"error(nil)", "nil"},
    {"error()", "nil"},
    {"error(setmetatable({}, { __tostring = function() return 5 end }))", "5"},
    {"return 5", "number"},
    {"return { 5 }", "number"},
    {"return { type = 5 }", "type is a number"},
    {"return { type = 'E', data = function() end }", "function has no JSON"},
    {"return { type = 'E', data = 0 / 0 }", "NaN"},
    {"return { type = 'E', data = { x = 1 / 0 } }", "event.data.x: infinity"},
    {"return { type = 'E', data = { 1, 2, x = 3 } }", "both [1] and names"},
    {"return { type = 'E', data = { 1, nil, 3 } }", "hole"},
    {"return { type = 'E', data = { [5] = 3 } }", "number as a key"},
    {"return { type = 'E', data = { [true] = 3 } }", "no string"},
    {"return { type = 'E', data = '\\xff' }", "UTF-8"},
    {"return { type = 'E', tags = 'x' }", "tags is a string"},
    {"return { type = 'E', tags = { 1 } }", "tags[1] is a number"},
    {"return { type = 'E', meta = { 1 } }", "meta is no object"},
    {"return { type = 'E', tag = 'x' }", "'tag'"},
    {"return { typ = 'E' }", "neither an event"},
    {"return setmetatable({}, { __index = function() while true do end end })", ""},
    {"return { type = 'E', data = command }", "take what is needed"},
    {"return state", NULL},
    {"return { type = 'E', data = state }", NULL},
};

static void
make_source(struct buf *to, const char *load, const char *body)
{
    buf_clear(to);
    buf_put_str(to, cairn_cstr(load));
    buf_put_str(to, CAIRN_STR("\nlocal M = { initial = { n = 1 }, decide = {} }\n"
                              "function M.decide.Honest(state, command) return { type = ('done'):upper(), data = { n = "
                              "state.n + command.data.n } } end\n"
                              "function M.decide.Attack(state, command)\n"));
    buf_put_str(to, cairn_cstr(body));
    buf_put_str(to, CAIRN_STR("\nend\nreturn M\n"));
    buf_put_char(to, 0);
}

static const char honest[] = "DONE {\"n\":3}\n";

TEST(attacks_end_and_harm_nobody)
{
    struct lua_rig bystander = {0};
    struct buf source = {0};
    make_source(&source, "", "");
    rig_open(&bystander, source.data);
    int64_t slowest_us = 0;
    size_t slowest = 0, wrong = 0, endless = 0, timed = 0;
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        const struct attack *attack = &attacks[i];
        struct lua_rig rig = {0};
        make_source(&source, "", attack->body);
        rig_open(&rig, source.data);
        CHECK_STR(rig_decide(&rig, "Honest", "{\"n\":2}"), honest);
        rig.error.detail[0] = 0;
        int64_t from_us = os_thread_cpu_us();
        const char *said = rig_decide(&rig, "Attack", "{}");
        int64_t took_us = os_thread_cpu_us() - from_us;
        if (took_us > slowest_us) {
            slowest_us = took_us;
            slowest = i;
        }
        if (getenv("TEST_VERBOSE"))
            printf("%7lld us  %s\n           %s\n", (long long)took_us, attack->body, said);
        if (took_us > TIME_MAX_US)
            wrong++, printf("WRONG: %lld us: %s\n", (long long)took_us, attack->body);
        bool failed = rig.error.detail[0] != 0;
        /* Checked memory, or a slow machine, makes an instruction many times slower: then the budget of time may be the one that ends
         * it. */
        if (strstr(attack->says ? attack->says : "", "instructions")) {
            endless++;
            if (failed && strstr(said, "takes too long")) {
                timed++;
                said = attack->says;
            }
        }
        if (attack->says && (attack->says[0] ? !failed || !strstr(said, attack->says) : failed))
            wrong++, printf("WRONG: %s\n  says '%s', wanted '%s'\n", attack->body, said, attack->says);
        CHECK_STR(rig_decide(&rig, "Honest", "{\"n\":2}"), honest);
        CHECK_STR(rig_save(&rig), "{\"n\":1}");
        CHECK_STR(rig_decide(&bystander, "Honest", "{\"n\":2}"), honest);
        rig_close(&rig);
    }
    printf("%zu attacks, %zu of %zu endless ones ended by their time; the slowest took %lld ms: %s\n", sizeof attacks / sizeof attacks[0], timed, endless,
           (long long)slowest_us / 1000, attacks[slowest].body);
    rig_close(&bystander);
    buf_free(&source);
    CHECK_INT(wrong, 0);
    CHECK(SANITIZED || timed < endless / 4); /* it is the instructions that are counted */
}

/* ---- while loading */

static void
repeat(struct buf *to, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_put_str(to, cairn_cstr(piece));
}

/* Sources that are hard on the compiler. Returns false past the last. */
static bool
hard_source(size_t index, struct buf *to)
{
    buf_clear(to);
    switch (index) {
    case 0: repeat(to, "while true do end ", 1); break;
    case 1: repeat(to, "(", 500000); break;
    case 2: repeat(to, "{", 500000); break;
    case 3: repeat(to, "do ", 150000); break;
    case 4: repeat(to, "function f() ", 40000); break;
    case 5:
        repeat(to, "return ", 1);
        repeat(to, "x and ", 80000);
        repeat(to, "x", 1);
        break;
    case 6:
        repeat(to, "if x then ", 1);
        repeat(to, "elseif x then ", 35000);
        repeat(to, "end", 1);
        break;
    case 7:
        for (unsigned i = 0; i < 40000; i++)
            buf_printf(to, "::a%u::", i);
        break;
    case 8:
        for (unsigned i = 0; i < 40000; i++)
            buf_printf(to, "goto a%u ", i);
        break;
    case 9:
        repeat(to, "return ", 1);
        repeat(to, "-", 500000);
        break;
    case 10:
        repeat(to, "x = '", 1);
        repeat(to, "a", 500000);
        break;
    case 11:
        repeat(to, "local t = {", 1);
        repeat(to, "{},", 150000);
        repeat(to, "}", 1);
        break;
    case 12:
        for (unsigned i = 0; i < 300; i++)
            buf_printf(to, "local a%u ", i);
        break;
    case 13: repeat(to, "\x1bLua", 1); break;
    case 14: repeat(to, "while x do break break ", 20000); break;
    case 15:
        repeat(to, "while x do ", 1);
        repeat(to, "if x then break end ", 25000);
        repeat(to, "end", 1);
        break;
    case 16: repeat(to, "x = {} while true do x[#x + 1] = {} end", 1); break;
    case 17: repeat(to, "return setmetatable({}, { __index = function() while true do end end })", 1); break;
    case 18: repeat(to, "--[==[", 80000); break;
    case 19:
        repeat(to, "x = ", 1);
        repeat(to, "a.", 250000);
        break;
    case 20:
        repeat(to, "x = ", 1);
        repeat(to, "'a'..", 100000);
        repeat(to, "'a'", 1);
        break;
    case 21: repeat(to, "return require 'order'", 1); break;
    default: return false;
    }
    buf_put_char(to, 0);
    return true;
}

TEST(sources_that_are_hard_to_load_are_refused_or_loaded_soon)
{
    struct buf source = {0};
    for (size_t i = 0; hard_source(i, &source); i++) {
        struct lua_rig rig = {0};
        int64_t from_us = os_thread_cpu_us();
        cairn_err err = rig_make(&rig, source.data);
        int64_t took_us = os_thread_cpu_us() - from_us;
        if (getenv("TEST_VERBOSE"))
            printf("%7lld us  %.60s\n           %s\n", (long long)took_us, source.data,
                   err == CAIRN_OK ? "" : rig.error.detail);
        if (took_us > TIME_MAX_US)
            fail_msg("%lld us: %.60s", (long long)took_us, source.data);
        CHECK(err == CAIRN_OK || err == CAIRN_E_INVALID);
        rig_close(&rig);
    }
    buf_free(&source);
}

/* Goal: what runs outside of decide has the same bounds. Method: the attack sits in initial, evolve and at the top. */
TEST(evolve_and_initial_are_bounded_too)
{
    struct lua_rig rig = {0};
    rig_open(&rig, "return { evolve = { E = function(state, event) while true do end end, F = function(state) state.x = 1 "
                   "end } }");
    CHECK(strstr(rig_evolve(&rig, "E", "{}"), LOOP) != NULL);
    CHECK_STR(rig_evolve(&rig, "F", "{}"), "");
    rig_close(&rig);
    rig = (struct lua_rig){0};
    CHECK_INT(rig_make(&rig, "return { initial = function() while true do end end, decide = {} }"), CAIRN_E_INVALID);
    CHECK(strstr(rig.error.detail, "order.lua:1: stopped") != NULL);
    rig_close(&rig);
}

/* Goal: a state that grows is stopped, and other states are not.
 * Method: one state is evolved until it fails; a second state in the same machine goes on. */
TEST(one_state_cannot_take_the_memory_of_another)
{
    struct lua_rig rig = {.limits = {.memory_max = 2 << 20}};
    rig_open(&rig, "return { evolve = { Add = function(state, event) state[#state + 1] = ('x'):rep(1000) .. #state end } }");
    void *other = NULL;
    CHECK_OK(rig.decider->state_new(rig.self, CAIRN_STR("other"), &other, &rig.error));
    unsigned count = 0;
    while (*rig_evolve(&rig, "Add", "{}") == 0 && count < 10000)
        count++;
    printf("%u events of 1 kB fit 2 MiB: %s\n", count, rig.error.detail);
    CHECK(count > 500 && count < 5000);
    CHECK(strstr(rig.error.detail, MEMORY) != NULL);
    void *full = rig.state;
    rig.state = other;
    CHECK_STR(rig_evolve(&rig, "Add", "{}"), "");
    rig.decider->state_free(rig.self, full);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(attacks_end_and_harm_nobody), RUN(sources_that_are_hard_to_load_are_refused_or_loaded_soon),
        RUN(evolve_and_initial_are_bounded_too), RUN(one_state_cannot_take_the_memory_of_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
