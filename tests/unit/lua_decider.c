/* Deciders in Lua: what the bus relies on. Each test runs a small module and compares texts. */
#include "../lua_rig.h"

static const char orders[] =
    "local M = { initial = { items = array{}, total = 0 } }\n"
    "M.evolve = {\n"
    "  OrderPlaced = function(state, event)\n"
    "    state.status = 'placed'\n"
    "    state.customer = event.data.customer\n"
    "    for i, item in ipairs(event.data.items) do\n"
    "      state.items[i] = item\n"
    "      state.total = state.total + item.price * item.qty\n"
    "    end\n"
    "  end,\n"
    "  OrderCancelled = function(state, event) return { status = 'cancelled', items = array{} } end,\n"
    "}\n"
    "M.decide = {\n"
    "  PlaceOrder = function(state, command)\n"
    "    if state.status then reject('already_placed', 'it is placed', { status = state.status }) end\n"
    "    return { type = 'OrderPlaced', data = command.data, tags = { 'customer:' .. command.data.customer } }\n"
    "  end,\n"
    "  Cancel = function(state, command)\n"
    "    if state.status ~= 'placed' then return reject('not_placed') end\n"
    "    return { { type = 'OrderCancelled', data = { by = command.actor, at = command.time } },\n"
    "             { type = 'Refunded', stream = 'account-' .. state.customer, meta = { why = 'cancelled' },\n"
    "               data = { amount = state.total, items = state.items } } }\n"
    "  end,\n"
    "  Nothing = function() end,\n"
    "}\n"
    "return M\n";
static const char placed[] = "{\"customer\":\"7\",\"items\":[{\"sku\":\"a\",\"qty\":2,\"price\":1.25}]}";

TEST(decides_evolves_and_saves)
{
    struct lua_rig rig = {0};
    rig_open(&rig, orders);
    CHECK_STR(rig_save(&rig), "{\"items\":[],\"total\":0}");
    CHECK_STR(rig_decide(&rig, "PlaceOrder", placed),
              "OrderPlaced#customer:7 {\"customer\":\"7\",\"items\":[{\"price\":1.25,\"qty\":2,\"sku\":\"a\"}]}\n");
    CHECK_STR(rig_decide(&rig, "Cancel", "{}"), "!not_placed||");
    CHECK_STR(rig_evolve(&rig, "OrderPlaced", placed), "");
    CHECK_STR(rig_evolve(&rig, "Unheard", "{}"), "");
    CHECK_STR(rig_save(&rig), "{\"customer\":\"7\",\"items\":[{\"price\":1.25,\"qty\":2,\"sku\":\"a\"}],"
                              "\"status\":\"placed\",\"total\":2.5}");
    CHECK_STR(rig_decide(&rig, "PlaceOrder", placed), "!already_placed|it is placed|{\"status\":\"placed\"}");
    CHECK_STR(rig_decide(&rig, "Cancel", "{}"),
              "OrderCancelled {\"at\":\"2025-11-21T12:00:00.000000Z\",\"by\":\"ann\"}\n"
              "Refunded@account-7 {\"amount\":2.5,\"items\":[{\"price\":1.25,\"qty\":2,\"sku\":\"a\"}]} "
              "{\"why\":\"cancelled\"}\n");
    CHECK_STR(rig_decide(&rig, "Nothing", "{}"), "");
    CHECK_STR(rig_evolve(&rig, "OrderCancelled", "{}"), "");
    CHECK_STR(rig_save(&rig), "{\"items\":[],\"status\":\"cancelled\"}");
    rig_close(&rig);
}

TEST(loads_what_it_saved)
{
    struct lua_rig rig = {0};
    rig_open(&rig, orders);
    CHECK_STR(rig_evolve(&rig, "OrderPlaced", placed), "");
    char *saved = strdup(rig_save(&rig));
    void *other = NULL;
    CHECK_OK(rig.decider->load(rig.self, CAIRN_STR("order-1"), cairn_cstr(saved), &other, &rig.error));
    rig.decider->state_free(rig.self, rig.state);
    rig.state = other;
    CHECK_STR(rig_save(&rig), saved);
    CHECK(rig.decider->state_size(rig.self, rig.state) > 100);
    CHECK(rig.decider->load(rig.self, CAIRN_STR("order-1"), CAIRN_STR("{\"a\":"), &other, &rig.error) != CAIRN_OK);
    free(saved);
    rig_close(&rig);
}

/* Goal: a state belongs to its stream. Method: an initial() that gives the module's own table; two states, one evolves. */
TEST(states_share_nothing)
{
    struct lua_rig rig = {0};
    rig_open(&rig, "local empty = { list = array{} }\n"
                   "return { initial = function(stream) empty.stream = stream return empty end,\n"
                   "evolve = { Add = function(state, event) state.list[#state.list + 1] = event.data end,\n"
                   "  Fail = function(state) state.list = nil error('half way') end },\n"
                   "decide = { C = function(state) return { type = 'T', data = state } end } }");
    void *other = NULL, *first = rig.state;
    CHECK_OK(rig.decider->state_new(rig.self, CAIRN_STR("order-2"), &other, &rig.error));
    CHECK_STR(rig_decide(&rig, "C", "{}"), "T {\"list\":[],\"stream\":\"order-1\"}\n");
    CHECK_STR(rig_evolve(&rig, "Add", "1"), "");
    CHECK_STR(rig_decide(&rig, "C", "{}"), "T {\"list\":[1],\"stream\":\"order-1\"}\n");
    rig.state = other;
    CHECK_STR(rig_decide(&rig, "C", "{}"), "T {\"list\":[],\"stream\":\"order-2\"}\n");
    CHECK_STR(rig_evolve(&rig, "Fail", "1"), "order.lua:4: half way");
    rig.decider->state_free(rig.self, rig.state); /* as its owner does */
    rig.state = first;
    CHECK_STR(rig_save(&rig), "{\"list\":[1],\"stream\":\"order-1\"}");
    rig_close(&rig);
}

/* Goal: what a state is said to need is near what it needs. Method: states of several sizes against the JSON's size. */
TEST(sizes_are_near)
{
    struct lua_rig rig = {0};
    rig_open(&rig, "return { evolve = { Add = function(state, event) state[#state + 1] = event.data end,\n"
                   "  Clear = function() return {} end } }");
    for (int i = 0; i < 5000; i++) {
        CHECK_STR(rig_evolve(&rig, "Add", "{\"sku\":\"widget-blue\",\"qty\":3,\"price\":1.5}"), "");
        if (i % 1000 == 999) {
            size_t size = rig.decider->state_size(rig.self, rig.state), json = strlen(rig_save(&rig));
            CHECK(size > 3 * json && size < 10 * json);
        }
    }
    for (int i = 0; i < 6000; i++)
        CHECK_STR(rig_evolve(&rig, "Clear", "{}"), "");
    CHECK(rig.decider->state_size(rig.self, rig.state) < 20000);
    rig_close(&rig);
}

TEST(decide_cannot_change_the_state)
{
    static const char *const attempts[] = {
        "state.total = 1", "state.new = 1", "state.items[1] = 2", "state.items[2].x = 2", "rawset(state, 'total', 1)",
        "table.insert(state.items, 1)", "table.sort(state.items, function(a, b) return a.x > b.x end)", "table.remove(state.items)",
        "setmetatable(state, {})", "for k, v in pairs(state) do if k == 'items' then v[1] = 5 end end",
        "for i, v in ipairs(state.items) do v.x = 5 end", "local k, v = next(state) v[1] = 1",
        "table.move({1}, 1, 1, 1, state.items)", "array(state.items)[1] = 3", "rawget(state, 'items')[1] = 3",
        "select(2, pairs(state)).x = 1"};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        char source[512];
        snprintf(source, sizeof source,
                 "return { initial = { items = { { x = 1 }, { x = 2 } }, total = 0 },\n"
                 "decide = { C = function(state, command)\n%s\nend } }", attempts[i]);
        struct lua_rig rig = {0};
        rig_open(&rig, source);
        const char *said = rig_decide(&rig, "C", "{}");
        if (strncmp(said, "order.lua:3: ", 13) != 0)
            fail_msg("%s: '%s'", attempts[i], said);
        CHECK_STR(rig_save(&rig), "{\"items\":[{\"x\":1},{\"x\":2}],\"total\":0}");
        rig_close(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(decides_evolves_and_saves), RUN(loads_what_it_saved),
                                       RUN(states_share_nothing), RUN(sizes_are_near),
                                       RUN(decide_cannot_change_the_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
