/* Our string and table functions against Lua's own.
 * Method: random subjects and patterns go through our sandbox and through a plain Lua state, as the same expression; the
 * texts of their results agree. Where one of the two refuses a pattern, so may the other; ours looks at the whole of it
 * first, so it may refuse what the other never reached. */
#include "../lua_rig.h"

#include <lauxlib.h>
#include <lualib.h>

static const char helper[] =
    "local function show(...) local t = { n = select('#', ...), ... } local s = {}\n"
    "  for i = 1, t.n do s[i] = math.type(t[i]) == 'float' and ('%.17g'):format(t[i]) or tostring(t[i]) end\n"
    "  return table.concat(s, '|') end\n"
    "local function all(s, p, init) local t = {} for a, b in string.gmatch(s, p, init) do t[#t + 1] = show(a, b)\n"
    "  if #t > 100 then break end end return table.concat(t, ';') end\n"
    "local function run(s, p, r, i)\n"
    "  local t = { show(pcall(string.find, s, p, i)), show(pcall(string.match, s, p, i)), show(pcall(all, s, p, i)),\n"
    "    show(pcall(string.gsub, s, p, r, i > 0 and i or nil)), show(pcall(string.gsub, s, p, string.upper)),\n"
    "    show(pcall(string.gsub, s, p, { a = 'X', ab = false, [1] = 'one' })), show(pcall(string.find, s, p, i, true)),\n"
    "    show(string.byte(s, i, i + 3)), show(string.byte(s, -3, -1)), string.lower(s) .. string.upper(s) }\n"
    "  return table.concat(t, '\\n') end\n";

static lua_State *
plain_state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    char source[4096];
    snprintf(source, sizeof source, "%s return run", helper);
    if (luaL_dostring(L, source))
        fail_msg("%s", lua_tostring(L, -1));
    return L;
}

static void
random_text(uint64_t *seed, struct buf *to, const char *const *pieces, size_t piece_count, unsigned most)
{
    buf_clear(to);
    unsigned count = (unsigned)(test_random(seed) % (most + 1));
    for (unsigned i = 0; i < count; i++)
        buf_put_str(to, cairn_cstr(pieces[test_random(seed) % piece_count]));
}

static bool
same(const char *ours, const char *theirs, unsigned *refused)
{
    while (*ours && *theirs) {
        size_t our_size = strcspn(ours, "\n"), their_size = strcspn(theirs, "\n");
        bool we_refuse = strncmp(ours, "false|", 6) == 0;
        *refused += we_refuse;
        if (!we_refuse && (our_size != their_size || memcmp(ours, theirs, our_size) != 0))
            return false;
        ours += our_size + (ours[our_size] == '\n');
        theirs += their_size + (theirs[their_size] == '\n');
    }
    return *ours == *theirs;
}

TEST(patterns_match_as_luas_own)
{
    static const char *const subject_pieces[] = {"a", "b", "ab", "A", "1", " ", "(", ")", "[x]", "%", "-", ".", "\t", "aa", "z"};
    static const char *const pattern_pieces[] = {
        "a", "b", ".", "%a", "%d", "%s", "%w", "%A", "%p", "[ab]", "[^a]", "[%w_]", "[a-z]", "[]]", "[^]]", "[a-]", "[%-x]",
        "*", "+", "-", "?", "(", ")", "()", "%1", "%2", "%b()", "%f[%w]", "^", "$", "%%", "%.", "x", "(a)", "(.-)", "(%w+)",
        "%x", "%c", "%g", "%l", "%u"};
    static const char *const replace_pieces[] = {"%0", "%1", "x", "%%", "-"};
    uint64_t seed = test_seed();
    struct lua_rig rig = {0};
    char source[4096];
    snprintf(source, sizeof source,
             "%s return { decide = { Run = function(state, command) local d = command.data\n"
             "  return { type = 'T', data = run(d.s, d.p, d.r, d.i) } end } }", helper);
    rig_open(&rig, source);
    lua_State *L = plain_state();
    struct buf subject = {0}, pattern = {0}, replace = {0}, data = {0};
    struct arena arena = {0};
    unsigned cases = 30000 * test_scale(), refused = 0;
    for (unsigned i = 0; i < cases; i++) {
        random_text(&seed, &subject, subject_pieces, 15, 12);
        random_text(&seed, &pattern, pattern_pieces, 41, 6);
        random_text(&seed, &replace, replace_pieces, 5, 2);
        int init = (int)(test_random(&seed) % 9) - 3;
        buf_clear(&data);
        buf_put_str(&data, CAIRN_STR("{\"s\":"));
        json_put_string(&data, buf_str(&subject));
        buf_put_str(&data, CAIRN_STR(",\"p\":"));
        json_put_string(&data, buf_str(&pattern));
        buf_put_str(&data, CAIRN_STR(",\"r\":"));
        json_put_string(&data, buf_str(&replace));
        buf_printf(&data, ",\"i\":%d}", init);
        buf_put_char(&data, 0);
        const char *said = rig_decide(&rig, "Run", data.data);
        if (said[0] != 'T')
            fail_msg("%s: %s", data.data, said);
        struct json text = json_trusted((cairn_str){said + 2, strlen(said) - 3});
        cairn_str ours = json_string(text, &arena);
        ours = arena_copy(&arena, ours);
        lua_pushvalue(L, 1);
        lua_pushlstring(L, subject.data, subject.size);
        lua_pushlstring(L, pattern.data, pattern.size);
        lua_pushlstring(L, replace.data, replace.size);
        lua_pushinteger(L, init);
        CHECK_INT(lua_pcall(L, 4, 1, 0), 0);
        if (!same(ours.data, lua_tostring(L, -1), &refused))
            fail_msg("%s\nours:\n%s\ntheirs:\n%s", data.data, ours.data, lua_tostring(L, -1));
        lua_pop(L, 1);
        arena_reset(&arena);
    }
    printf("%u cases, %u of %u results refused\n", cases, refused, cases * 10);
    CHECK(refused < cases * 10 * 2 / 3);
    lua_close(L);
    arena_free(&arena);
    buf_free(&subject);
    buf_free(&pattern);
    buf_free(&replace);
    buf_free(&data);
    rig_close(&rig);
}

/* The same expression in both. */
static void
check_expression(lua_State *L, const char *expression)
{
    char source[1024];
    snprintf(source, sizeof source, "return { decide = { Run = function() return { type = 'T', data = tostring((function() %s "
                                    "end)()) } end } }", expression);
    struct lua_rig rig = {0};
    rig_open(&rig, source);
    const char *said = rig_decide(&rig, "Run", "{}");
    snprintf(source, sizeof source, "return tostring((function() %s end)())", expression);
    if (luaL_dostring(L, source))
        fail_msg("%s: %s", expression, lua_tostring(L, -1));
    struct buf theirs = {0};
    buf_put_str(&theirs, CAIRN_STR("T "));
    json_put_string(&theirs, cairn_cstr(lua_tostring(L, -1)));
    buf_put_str(&theirs, CAIRN_STR("\n"));
    buf_put_char(&theirs, 0);
    lua_pop(L, 1);
    if (strcmp(said, theirs.data) != 0)
        fail_msg("%s\nours: %s\ntheirs: %s", expression, said, theirs.data);
    buf_free(&theirs);
    rig_close(&rig);
}

TEST(functions_give_what_luas_own_give)
{
    static const char *const expressions[] = {
        "return ('%5.2f|%-5s|%05d|%x|%q|%s|%s|%i|%c|%g|%%'):format(1.005, 'ab', 42, 255, 'a\\nb', nil, true, 7, 65, 1e20)",
        "return ('ab'):rep(3) .. ('ab'):rep(3, ',') .. ('x'):rep(0) .. ('x'):rep(-1) .. ('x'):rep(1, 'y')",
        "return ('abc'):sub(-2) .. ('abc'):reverse() .. ('abc'):len() .. #'abc'",
        "local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 3, 9) return table.concat(t, ',')",
        "local t = { 1, 2, 3, 4 } local a = table.remove(t) local b = table.remove(t, 1) return a .. b .. table.concat(t, ',')",
        "local t = {} return tostring(table.remove(t)) .. tostring(table.remove(t, 0)) .. #t",
        "return table.concat({ 1, 'a', 2.5 }, '-') .. table.concat({ 1, 2, 3 }, ',', 2, 3) .. table.concat({}, 'x')",
        "return select('#', table.unpack({ 1, nil, 3 }, 1, 3)) .. table.unpack({ 'x', 'y' }, 2)",
        "local t = table.pack(1, nil, 3) return t.n .. tostring(t[2]) .. t[3]",
        "return table.concat(table.move({ 1, 2, 3 }, 2, 3, 1), ',') .. table.concat(table.move({ 1, 2, 3 }, 1, 2, 2), ',')",
        "return table.concat(table.move({ 1, 2, 3 }, 1, 3, 3, { 7, 8 }), ',')",
        "local t = { 5, 2, 8, 1, 9, 3 } table.sort(t) local s = table.concat(t, ',') table.sort(t, function(a, b) return a > b "
        "end) return s .. table.concat(t, ',')",
        "local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) for i = 2, 1000 do assert(t[i - 1] <= t[i]) "
        "end return table.concat(t, ',')",
        "local t = { 'b', 'a', 'B', '' } table.sort(t) return table.concat(t, ',')",
        "return tostring(tonumber('0x10')) .. tostring(tonumber(' 5 ')) .. tostring(tonumber('z', 36)) .. tostring(tonumber('x'))",
        "return tostring(pcall(error, 'x')) .. select(2, pcall(error, 'x', 0)) .. select('#', pcall(function() return 1, 2 end))",
        "return select(2, xpcall(function() error('a', 0) end, function(m) return m .. '!' end))",
        "return tostring(xpcall(function(...) return select('#', ...) end, print or error, 1, 2, 3))",
        "local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return co(1) .. co(5)",
        "local co = coroutine.create(function() error('x', 0) end) local ok, m = coroutine.resume(co) return tostring(ok) .. m "
        ".. coroutine.status(co) .. tostring(select(2, coroutine.resume(co)))",
        "local s = {} local co = coroutine.wrap(function() for i = 1, 3 do s[#s + 1] = coroutine.isyieldable() and 'y' or 'n' "
        "pcall(coroutine.yield, i) end return 9 end) return co() .. co() .. co() .. co() .. table.concat(s)",
        "local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) return "
        "tostring(coroutine.close(co)) .. coroutine.status(co) .. tostring(select(2, coroutine.running()))",
        "return utf8.len('\\u{e4}\\u{20ac}') .. utf8.char(228, 8364) .. utf8.codepoint('\\u{e4}') .. utf8.offset('\\u{e4}b', 2)",
        "local s = '' for p, c in utf8.codes('\\u{e4}b') do s = s .. p .. ':' .. c .. ' ' end return s",
        "return 7 // 2 .. 7 % 3 .. 2 ^ 10 .. 7 / 2 .. (3 | 4) .. '10' + 5 .. math.floor(2.7) .. math.max(1, 5, 3)",
        "local t = setmetatable({}, { __index = function(t, k) return k .. '!' end, __len = function() return 3 end }) return "
        "table.concat(t, ',') .. #t .. t.x",
        "local a = setmetatable({}, { __tostring = function() return 'me' end, __name = 'A' }) return tostring(a) .. ('%s'):format(a)",
        "return rawequal('a', 'a') and rawlen({ 1, 2 }) .. tostring(rawget({ x = 1 }, 'x')) .. rawset({}, 'y', 2).y",
        "return tostring(getmetatable(setmetatable({}, { __metatable = 'no' })))",
        "local n = 0 for w in ('one two  three'):gmatch('%a+') do n = n + #w end return n",
        "return (('hello world'):gsub('o', { o = '0' })) .. ('abc'):gsub('%w', '%0%0') .. ('x y'):match('(%w) (%w)')",
        "return ('k = v'):match('^(%w+)%s*=%s*(%w+)$') .. ('THE (quick) fox'):find('%((%a+)%)')"};
    lua_State *L = plain_state();
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++)
        check_expression(L, expressions[i]);
    lua_close(L);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(patterns_match_as_luas_own), RUN(functions_give_what_luas_own_give)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
