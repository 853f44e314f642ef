/* Compile a schema: a queue of places in its documents, each of which becomes one node.
 *
 *   text ─► js_load() ─► root node ─► queue ─► js_compile_keywords() ─► rules; children and references: more nodes
 *                                       ▲___________________________________________________________│
 *
 * A place becomes one node however often it is referred to, so the work is bounded by the text and JS_NODES_MAX. At the
 * end a circle of references that makes no way into the value is refused: it would never end. One owner thread; the
 * schema is constant afterwards. */
#include <schema/json_schema_int.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- refusing */

static void
put_token(struct buf *to, cairn_str token)
{
    buf_put_char(to, '/');
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] == '~')
            buf_put(to, "~0", 2);
        else if (token.data[i] == '/')
            buf_put(to, "~1", 2);
        else
            buf_put_char(to, token.data[i]);
    }
}

/* The pointer to a node; it goes up as far as the text is deep. */
static void
put_place(struct buf *to, const struct js_node *node, struct arena *arena)
{
    if (!node->parent) {
        buf_put_str(to, node->place);
        return;
    }
    put_place(to, node->parent, arena);
    put_token(to, node->keyword);
    if (node->name.type == JSON_STRING)
        put_token(to, js_text(node->name, arena));
    else if (node->index != SIZE_MAX)
        buf_printf(to, "/%zu", node->index);
}

cairn_err
js_refuse(struct js_compile *compile, const struct js_node *node, const char *keyword, cairn_err code,
          const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct buf place = {0};
    put_place(&place, node, &compile->scratch);
    if (keyword)
        put_token(&place, cairn_cstr(keyword));
    cairn_err err = error_set(compile->error, code, "%.*s: %s", (int)(place.size > 200 ? 200 : place.size),
                              place.data ? place.data : "", message);
    buf_free(&place);
    return err;
}

/* ---- nodes */

cairn_err
js_node_at(struct js_compile *compile, struct json value, struct js_resource *resource, struct js_node **ret)
{
    cairn_str key = {value.raw.data, 0};
    struct js_node *node = js_map_get(&compile->nodes, key);
    if (!node) {
        if (++compile->node_count > JS_NODES_MAX)
            return error_set(compile->error, CAIRN_E_LIMIT, ": more than %d subschemas", JS_NODES_MAX);
        node = arena_zalloc(&compile->schema->arena, sizeof *node);
        if (!node || !js_map_put(&compile->nodes, &compile->scratch, key, node))
            return error_set(compile->error, CAIRN_E_NOMEM, "no memory to compile the schema");
        struct js_resource *own = js_map_get(&compile->roots, key);
        node->types = JS_ANY;
        node->source = value;
        node->resource = own ? own : resource;
        node->index = SIZE_MAX;
        node->next = compile->schema->all;
        compile->schema->all = node;
        *compile->queue_end = node;
        compile->queue_end = &node->queued;
    }
    *ret = node;
    return CAIRN_OK;
}

cairn_err
js_child(struct js_compile *compile, const struct js_node *parent, struct json value, const char *keyword,
         struct json name, size_t index, struct js_node **ret)
{
    struct js_node *node;
    cairn_err err = js_node_at(compile, value, parent->resource, &node);
    if (err != CAIRN_OK)
        return err;
    if (!node->parent && node != compile->schema->root && node->place.size == 0) {
        node->parent = parent;
        node->keyword = cairn_cstr(keyword);
        node->name = name;
        node->index = index;
    }
    *ret = node;
    if (value.type != JSON_OBJECT && value.type != JSON_TRUE && value.type != JSON_FALSE)
        return js_refuse(compile, node, NULL, CAIRN_E_INVALID, "must be a schema: an object, true or false");
    return CAIRN_OK;
}

static cairn_err
drain(struct js_compile *compile)
{
    cairn_err err = CAIRN_OK;
    while (err == CAIRN_OK && compile->queue) {
        struct js_node *node = compile->queue;
        compile->queue = node->queued;
        if (!compile->queue)
            compile->queue_end = &compile->queue;
        err = js_compile_keywords(compile, node);
    }
    return err;
}

/* A $dynamicRef may lead to any dynamic anchor of its name. */
static cairn_err
compile_dynamic_anchors(struct js_compile *compile)
{
    for (;;) {
        bool more = false;
        for (struct js_resource *resource = compile->all_resources; resource; resource = resource->next)
            for (struct js_anchor *anchor = resource->dynamic; anchor; anchor = anchor->next) {
                if (anchor->node)
                    continue;
                cairn_err err = js_node_at(compile, anchor->value, resource, &anchor->node);
                if (err != CAIRN_OK)
                    return err;
                more = true;
            }
        if (!more)
            return CAIRN_OK;
        cairn_err err = drain(compile);
        if (err != CAIRN_OK)
            return err;
    }
}

/* ---- circles */

/* The i-th schema that a node applies to the very value it is applied to itself; NULL after the last. */
static struct js_node *
in_place(const struct js_node *node, size_t i)
{
    const struct js_logic *logic = node->logic;
    if (logic) {
        struct js_node *single[] = {logic->ref, logic->not, logic->if_, logic->then, logic->else_};
        for (size_t s = 0; s < sizeof single / sizeof single[0]; s++)
            if (single[s] && i-- == 0)
                return single[s];
        const struct js_list *lists[] = {&logic->all, &logic->any, &logic->one};
        for (size_t l = 0; l < 3; l++) {
            if (i < lists[l]->count)
                return lists[l]->items[i];
            i -= lists[l]->count;
        }
    }
    if (node->object) {
        for (size_t d = 0; d < node->object->dependent_count; d++)
            if (node->object->dependents[d].node && i-- == 0)
                return node->object->dependents[d].node;
    }
    return NULL;
}

enum { WHITE, GREY, BLACK };

struct trail {
    struct js_node *node;
    size_t next;
};

/* Depth first without recursion: grey is what lies on the trail. */
static cairn_err
search_circle(struct js_compile *compile, struct js_node *start, struct trail *trail)
{
    size_t depth = 0;
    if (start->color != WHITE)
        return CAIRN_OK;
    start->color = GREY;
    trail[depth++] = (struct trail){start, 0};
    while (depth > 0) {
        struct trail *top = &trail[depth - 1];
        struct js_node *next = in_place(top->node, top->next++);
        if (!next) {
            top->node->color = BLACK;
            depth--;
        } else if (next->color == GREY) {
            return js_refuse(compile, top->node, NULL, CAIRN_E_INVALID,
                             "refers to itself without going into the value, so validation would never end");
        } else if (next->color == WHITE) {
            next->color = GREY;
            trail[depth++] = (struct trail){next, 0};
        }
    }
    return CAIRN_OK;
}

static cairn_err
refuse_circles(struct js_compile *compile)
{
    struct trail *trail = arena_alloc(&compile->scratch, (compile->node_count + 1) * sizeof *trail);
    if (!trail)
        return error_set(compile->error, CAIRN_E_NOMEM, "no memory to compile the schema");
    for (struct js_node *node = compile->schema->all; node; node = node->next) {
        cairn_err err = search_circle(compile, node, trail);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

/* ---- the whole */

void
json_schema_free(struct json_schema *schema)
{
    if (!schema)
        return;
    js_patterns_free(schema->patterns);
    arena_free(&schema->arena);
    free(schema);
}

static cairn_err
compile_all(struct js_compile *compile, cairn_str text)
{
    struct js_resource *resource;
    cairn_err err = js_load(compile, text, compile->options->base_uri, NULL, &resource);
    if (err != CAIRN_OK)
        return err;
    struct json root = resource->root;
    if (root.type != JSON_OBJECT && root.type != JSON_TRUE && root.type != JSON_FALSE)
        return error_set(compile->error, CAIRN_E_INVALID, ": must be a schema: an object, true or false");
    err = js_node_at(compile, root, resource, &compile->schema->root);
    if (err == CAIRN_OK)
        err = drain(compile);
    if (err == CAIRN_OK && compile->schema->dynamic)
        err = compile_dynamic_anchors(compile);
    return err == CAIRN_OK ? refuse_circles(compile) : err;
}

cairn_err
json_schema_compile(cairn_str text, const struct json_schema_options *options, struct json_schema **ret,
                    cairn_error *error)
{
    static const struct json_schema_options none;
    struct json_schema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return error_set(error, CAIRN_E_NOMEM, "no memory to compile the schema");
    schema->arena.size_max = JS_ARENA_MAX;
    struct js_compile compile = {.schema = schema, .options = options ? options : &none, .error = error};
    compile.scratch.size_max = JS_ARENA_MAX;
    compile.queue_end = &compile.queue;
    cairn_err err = compile_all(&compile, text);
    arena_free(&compile.scratch);
    if (err == CAIRN_OK)
        *ret = schema;
    else
        json_schema_free(schema);
    return err;
}
