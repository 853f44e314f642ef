/* "pattern": regular expressions of ECMA-262 by PCRE2, held to a number of steps.
 *
 * An expression is rewritten where the two differ (\s, \v, '.', \uXXXX, names of properties) and refused where it says what
 * ECMA-262 does not know (possessive quantifiers, recursion, verbs): what is accepted here means the same in a browser.
 * Looking back a variable distance is the one thing that PCRE2 lacks; it is refused too.
 *
 * A match is first tried with a small limit, which nearly all keep, and only then with the large one, which is charged to
 * the validation's steps: so neither one evil pattern nor a thousand half-evil ones cost much. */
#include <base/hex.h>
#include <schema/json_schema_int.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <stdlib.h>

#define MATCH_LIMIT_QUICK 2000
#define MATCH_LIMIT_MAX 100000
#define MATCH_DEPTH_MAX 2000
#define MATCH_HEAP_KIB_MAX 4096
#define STEPS_QUICK 10
#define STEPS_SLOW 20000
#define NESTING_MAX 100

struct js_pattern {
    pcre2_code *code;
    struct js_pattern *next;
};

struct scratch {
    pcre2_match_data *data;
    pcre2_match_context *quick, *slow;
};

/* ---- from ECMA-262 to PCRE2 */

struct rewrite {
    const char *at, *end;
    struct buf to;
    bool in_class;
    const char *wrong;
};

static bool
wrong(struct rewrite *in, const char *message)
{
    in->wrong = message;
    return false;
}

static bool
starts(const struct rewrite *in, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(in->end - in->at) >= size && memcmp(in->at, text, size) == 0;
}

/* Long names of general categories that PCRE2 knows only by their short ones. */
static const char *
short_category(cairn_str name)
{
    static const char *const names[][2] = {
        {"Letter", "L"}, {"Cased_Letter", "L&"}, {"LC", "L&"}, {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"},
        {"Titlecase_Letter", "Lt"}, {"Modifier_Letter", "Lm"}, {"Other_Letter", "Lo"}, {"Mark", "M"},
        {"Nonspacing_Mark", "Mn"}, {"Spacing_Mark", "Mc"}, {"Enclosing_Mark", "Me"}, {"Number", "N"},
        {"Decimal_Number", "Nd"}, {"digit", "Nd"}, {"Letter_Number", "Nl"}, {"Other_Number", "No"},
        {"Punctuation", "P"}, {"punct", "P"}, {"Connector_Punctuation", "Pc"}, {"Dash_Punctuation", "Pd"},
        {"Open_Punctuation", "Ps"}, {"Close_Punctuation", "Pe"}, {"Initial_Punctuation", "Pi"},
        {"Final_Punctuation", "Pf"}, {"Other_Punctuation", "Po"}, {"Symbol", "S"}, {"Math_Symbol", "Sm"},
        {"Currency_Symbol", "Sc"}, {"Modifier_Symbol", "Sk"}, {"Other_Symbol", "So"}, {"Separator", "Z"},
        {"Space_Separator", "Zs"}, {"Line_Separator", "Zl"}, {"Paragraph_Separator", "Zp"}, {"Other", "C"},
        {"Control", "Cc"}, {"cntrl", "Cc"}, {"Format", "Cf"}, {"Surrogate", "Cs"}, {"Private_Use", "Co"},
        {"Unassigned", "Cn"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (cairn_str_equal(name, cairn_cstr(names[i][0])))
            return names[i][1];
    return NULL;
}

/* \p{…} and \P{…}; `at` is at the letter. */
static bool
rewrite_property(struct rewrite *in)
{
    char letter = *in->at++;
    const char *close = in->at < in->end && *in->at == '{' ? memchr(in->at, '}', (size_t)(in->end - in->at)) : NULL;
    if (!close)
        return wrong(in, "\\p needs the name of a property in braces");
    cairn_str name = {in->at + 1, (size_t)(close - in->at - 1)};
    const char *equals = memchr(name.data, '=', name.size), *prefix = "";
    if (equals) {
        cairn_str key = {name.data, (size_t)(equals - name.data)};
        name = (cairn_str){equals + 1, (size_t)(close - equals - 1)};
        if (cairn_str_equal(key, CAIRN_STR("Script")) || cairn_str_equal(key, CAIRN_STR("sc")))
            prefix = "sc:";
        else if (cairn_str_equal(key, CAIRN_STR("Script_Extensions")) || cairn_str_equal(key, CAIRN_STR("scx")))
            prefix = "scx:";
        else if (!cairn_str_equal(key, CAIRN_STR("General_Category")) && !cairn_str_equal(key, CAIRN_STR("gc")))
            return wrong(in, "\\p names an unknown property");
    }
    const char *category = *prefix ? NULL : short_category(name);
    buf_printf(&in->to, "\\%c{%s", letter, prefix);
    buf_put_str(&in->to, category ? cairn_cstr(category) : name);
    buf_put_char(&in->to, '}');
    in->at = close + 1;
    return true;
}

/* `digits` hexadecimal digits, or -1. */
static int32_t
hex_number(struct rewrite *in, const char *at, int digits)
{
    int32_t number = 0;
    for (int i = 0; i < digits; i++) {
        int digit = at + i < in->end ? hex_value(at[i]) : -1;
        if (digit < 0)
            return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* \xHH, \uHHHH, a pair of surrogates, \u{H…}; `at` is at the letter. */
static bool
rewrite_code(struct rewrite *in)
{
    char letter = *in->at++;
    int32_t code = 0;
    if (letter == 'u' && in->at < in->end && *in->at == '{') {
        const char *from = ++in->at;
        while (in->at < in->end && *in->at != '}' && code >= 0 && code <= 0x10FFFF) {
            int digit = hex_value(*in->at++);
            code = digit < 0 ? -1 : code << 4 | digit;
        }
        if (in->at == in->end || in->at == from)
            code = -1;
        in->at++;
    } else {
        int digits = letter == 'x' ? 2 : 4;
        code = hex_number(in, in->at, digits);
        in->at += digits;
        if (code >= 0xD800 && code <= 0xDBFF && starts(in, "\\u")) {
            int32_t low = hex_number(in, in->at + 2, 4);
            if (low >= 0xDC00 && low <= 0xDFFF) {
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                in->at += 6;
            }
        }
    }
    if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return wrong(in, "\\x or \\u names no character");
    buf_printf(&in->to, "\\x{%X}", (unsigned)code);
    return true;
}

#define SPACES "\\t-\\r\\x{FEFF}\\p{Z}"

/* `at` is at the backslash. */
static bool
rewrite_escape(struct rewrite *in)
{
    if (++in->at == in->end)
        return wrong(in, "ends with a backslash");
    char c = *in->at;
    switch (c) {
    case 'p': case 'P': return rewrite_property(in);
    case 'x': case 'u': return rewrite_code(in);
    case 's': buf_put_str(&in->to, cairn_cstr(in->in_class ? SPACES : "[" SPACES "]")); break;
    case 'S':
        if (in->in_class)
            return wrong(in, "\\S within brackets is not supported");
        buf_put_str(&in->to, CAIRN_STR("[^" SPACES "]"));
        break;
    case 'v': buf_put_str(&in->to, CAIRN_STR("\\x{B}")); break;
    case '0':
        if (in->end - in->at > 1 && in->at[1] >= '0' && in->at[1] <= '9')
            return wrong(in, "octal escapes are not allowed");
        buf_put_str(&in->to, CAIRN_STR("\\x{0}"));
        break;
    case 'c':
        if (in->end - in->at < 2 || !((in->at[1] | 0x20) >= 'a' && (in->at[1] | 0x20) <= 'z'))
            return wrong(in, "\\c needs a letter");
        buf_printf(&in->to, "\\x{%X}", (unsigned)(in->at[1] & 0x1F));
        in->at++;
        break;
    default:
        if (((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !strchr("dDwWbBfnrtk", c))
            return wrong(in, "has an escape that ECMA-262 does not know");
        buf_put_char(&in->to, '\\');
        if ((signed char)c < 0) /* a character beyond ASCII stands for itself */
            in->to.size--;
        buf_put_char(&in->to, c);
    }
    in->at++;
    return true;
}

/* `at` is at the bracket; ECMA-262 nests none, and knows no [:names:]. */
static bool
rewrite_class(struct rewrite *in)
{
    buf_put_char(&in->to, *in->at++);
    if (in->at < in->end && *in->at == '^')
        buf_put_char(&in->to, *in->at++);
    in->in_class = true;
    while (in->at < in->end && *in->at != ']') {
        if (*in->at == '\\') {
            if (!rewrite_escape(in))
                return false;
            continue;
        }
        if (*in->at == '[')
            buf_put_char(&in->to, '\\');
        buf_put_char(&in->to, *in->at++);
    }
    in->in_class = false;
    if (in->at == in->end)
        return wrong(in, "a bracket is not closed");
    buf_put_char(&in->to, *in->at++);
    return true;
}

/* `at` is at the parenthesis. */
static bool
rewrite_group(struct rewrite *in)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<"};
    if (starts(in, "(*"))
        return wrong(in, "nothing to repeat");
    size_t size = 1;
    for (size_t i = 0; starts(in, "(?") && i < sizeof known / sizeof known[0] && size == 1; i++)
        if (starts(in, known[i]))
            size = strlen(known[i]);
    if (size == 1 && starts(in, "(?"))
        return wrong(in, "has a group that ECMA-262 does not know");
    buf_put(&in->to, in->at, size);
    in->at += size;
    return true;
}

/* '*', '+', '?' and "{n,m}" may be followed by '?', nothing else that repeats. */
static bool
rewrite_quantifier(struct rewrite *in)
{
    buf_put_char(&in->to, *in->at++);
    if (in->at < in->end && *in->at == '?')
        buf_put_char(&in->to, *in->at++);
    return in->at == in->end || !strchr("*+?", *in->at) || !*in->at ? true : wrong(in, "nothing to repeat");
}

static bool
rewrite(struct rewrite *in)
{
    while (in->at < in->end) {
        bool ok = true;
        switch (*in->at) {
        case '\\': ok = rewrite_escape(in); break;
        case '[': ok = rewrite_class(in); break;
        case '(': ok = rewrite_group(in); break;
        case '*': case '+': case '?': case '}': ok = rewrite_quantifier(in); break;
        case '.':
            buf_put_str(&in->to, CAIRN_STR("[^\\n\\r\\x{2028}\\x{2029}]"));
            in->at++;
            break;
        default: buf_put_char(&in->to, *in->at++);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- compiling */

static cairn_err
compile(cairn_str text, pcre2_code **ret, char *ret_message, size_t message_size)
{
    struct rewrite in = {.at = text.data, .end = text.data + text.size};
    if (text.size > JS_PATTERN_MAX) {
        snprintf(ret_message, message_size, "a pattern of %zu bytes; the limit is %d", text.size, JS_PATTERN_MAX);
        return CAIRN_E_LIMIT;
    }
    if (!rewrite(&in)) {
        snprintf(ret_message, message_size, "%s (at byte %zu)", in.wrong, (size_t)(in.at - text.data));
        buf_free(&in.to);
        return CAIRN_E_INVALID;
    }
    cairn_err err = CAIRN_E_NOMEM;
    pcre2_code *code = NULL;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (in.to.failed || !context)
        goto done;
    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    int number;
    PCRE2_SIZE offset;
    code = pcre2_compile((PCRE2_SPTR)(in.to.data ? in.to.data : ""), in.to.size,
                         PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_NEVER_BACKSLASH_C,
                         &number, &offset, context);
    if (!code) {
        err = CAIRN_E_INVALID;
        if (pcre2_get_error_message(number, (PCRE2_UCHAR *)ret_message, message_size) < 0)
            snprintf(ret_message, message_size, "is no regular expression");
        goto done;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter does */
    err = CAIRN_OK;
    *ret = code;
done:
    pcre2_compile_context_free(context);
    buf_free(&in.to);
    return err;
}

cairn_err
js_pattern_compile(struct json_schema *schema, cairn_str text, const struct js_pattern **ret, char *ret_message,
                   size_t message_size)
{
    struct js_pattern *pattern = arena_zalloc(&schema->arena, sizeof *pattern);
    if (!pattern)
        return CAIRN_E_NOMEM;
    cairn_err err = compile(text, &pattern->code, ret_message, message_size);
    if (err != CAIRN_OK)
        return err;
    pattern->next = schema->patterns;
    schema->patterns = pattern;
    *ret = pattern;
    return CAIRN_OK;
}

void
js_patterns_free(struct js_pattern *first)
{
    for (; first; first = first->next)
        pcre2_code_free(first->code);
}

bool
js_pattern_valid(cairn_str text)
{
    pcre2_code *code;
    char message[100];
    if (compile(text, &code, message, sizeof message) != CAIRN_OK)
        return false;
    pcre2_code_free(code);
    return true;
}

/* ---- matching */

static pcre2_match_context *
make_context(uint32_t limit)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    if (context) {
        pcre2_set_match_limit(context, limit);
        pcre2_set_depth_limit(context, MATCH_DEPTH_MAX);
        pcre2_set_heap_limit(context, MATCH_HEAP_KIB_MAX);
    }
    return context;
}

static struct scratch *
make_scratch(void)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch)
        return NULL;
    scratch->data = pcre2_match_data_create(1, NULL);
    scratch->quick = make_context(MATCH_LIMIT_QUICK);
    scratch->slow = make_context(MATCH_LIMIT_MAX);
    if (scratch->data && scratch->quick && scratch->slow)
        return scratch;
    js_pattern_scratch_free(scratch);
    return NULL;
}

void
js_pattern_scratch_free(void *memory)
{
    struct scratch *scratch = memory;
    if (!scratch)
        return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->quick);
    pcre2_match_context_free(scratch->slow);
    free(scratch);
}

static int
match(const struct js_pattern *pattern, cairn_str text, struct scratch *scratch, pcre2_match_context *context)
{
    PCRE2_SPTR at = (PCRE2_SPTR)(text.size ? text.data : "");
    int found = pcre2_match(pattern->code, at, text.size, 0, PCRE2_NO_UTF_CHECK, scratch->data, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(pattern->code, at, text.size, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->data, context);
    return found;
}

int
js_pattern_match(const struct js_pattern *pattern, cairn_str text, void **memory, int64_t *steps)
{
    if (!*memory)
        *memory = make_scratch();
    struct scratch *scratch = *memory;
    if (!scratch)
        return CAIRN_E_NOMEM;
    *steps -= STEPS_QUICK + (int64_t)(text.size / 64);
    int found = match(pattern, text, scratch, scratch->quick);
    if (found < PCRE2_ERROR_NOMATCH && found != PCRE2_ERROR_NOMEMORY && (*steps -= STEPS_SLOW) >= 0)
        found = match(pattern, text, scratch, scratch->slow);
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH)
        return found >= 0;
    return found == PCRE2_ERROR_NOMEMORY ? CAIRN_E_NOMEM : CAIRN_E_LIMIT;
}
