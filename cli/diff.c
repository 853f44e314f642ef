/* Differences of two texts, line by line: Myers' greedy algorithm ("An O(ND) difference algorithm and its variations",
 * 1986, figure 2), with what is equal at both ends taken off first. See diff.h.
 *
 * Bounds: EDITS_MAX edits are searched; beyond that everything between the equal ends counts as changed. Memory is a
 * row of 2 d + 1 numbers for each number of edits d: at most 4 MiB. */
#include "diff.h"

#include <stdlib.h>

#include "out.h"

#define EDITS_MAX 1000
#define CONTEXT 3

struct lines {
    cairn_str *at;
    size_t count;
};

/* The edit script: for each line of a, is it kept? for each line of b? */
struct script {
    struct lines a, b;
    bool *kept_a, *kept_b;
};

static bool
split(cairn_str text, struct lines *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    ret->at = calloc(count + 1, sizeof *ret->at);
    ret->count = 0;
    for (size_t at = 0; ret->at && at < text.size;) {
        const char *newline = memchr(text.data + at, '\n', text.size - at);
        size_t size = newline ? (size_t)(newline - text.data) - at + 1 : text.size - at;
        ret->at[ret->count++] = (cairn_str){text.data + at, size}; /* with its line break: a missing one is a difference */
        at += size;
    }
    return ret->at != NULL;
}

/* Walk back along the rows from (n, m), and mark what lies on diagonals as kept. row d begins at d * d, diagonal k at
 * row + d + k. */
static void
mark_kept(struct script *script, size_t skip, const int *rows, int edits, int n, int m)
{
    int x = n, y = m;
    for (int d = edits; d >= 0; d--) {
        int k = x - y, x_before = 0, y_before = 0;
        if (d > 0) {
            const int *row = rows + (d - 1) * (d - 1) + (d - 1);
            bool down = k == -d || (k != d && row[k - 1] < row[k + 1]);
            int k_before = down ? k + 1 : k - 1;
            x_before = row[k_before];
            y_before = x_before - k_before;
        }
        while (x > x_before && y > y_before) {
            x--, y--;
            script->kept_a[skip + (size_t)x] = script->kept_b[skip + (size_t)y] = true;
        }
        x = x_before;
        y = y_before;
    }
}

/* False: out of memory. Too many edits: nothing is marked, which is a right answer, if not the best. */
static bool
search(struct script *script, size_t skip, int n, int m)
{
    const cairn_str *a = script->a.at + skip, *b = script->b.at + skip;
    int max = n + m < EDITS_MAX ? n + m : EDITS_MAX;
    int *rows = calloc((size_t)(max + 1) * (size_t)(max + 1), sizeof *rows);
    if (!rows)
        return false;
    for (int d = 0; d <= max; d++) {
        int *row = rows + d * d + d;
        const int *last = d ? rows + (d - 1) * (d - 1) + (d - 1) : NULL;
        for (int k = -d; k <= d; k += 2) {
            int x = !last ? 0 : k == -d || (k != d && last[k - 1] < last[k + 1]) ? last[k + 1] : last[k - 1] + 1;
            int y = x - k;
            while (x < n && y < m && x >= 0 && y >= 0 && cairn_str_equal(a[x], b[y]))
                x++, y++;
            row[k] = x;
            if (x >= n && y >= m) {
                mark_kept(script, skip, rows, d, n, m);
                free(rows);
                return true;
            }
        }
    }
    free(rows);
    return true;
}

static void
script_free(struct script *script)
{
    free(script->a.at);
    free(script->b.at);
    free(script->kept_a);
    free(script->kept_b);
}

static bool
compare(cairn_str a, cairn_str b, struct script *ret)
{
    *ret = (struct script){0};
    if (!split(a, &ret->a) || !split(b, &ret->b))
        return false;
    size_t n = ret->a.count, m = ret->b.count, head = 0, tail = 0;
    ret->kept_a = calloc(n + 1, 1);
    ret->kept_b = calloc(m + 1, 1);
    if (!ret->kept_a || !ret->kept_b)
        return false;
    while (head < n && head < m && cairn_str_equal(ret->a.at[head], ret->b.at[head]))
        ret->kept_a[head] = ret->kept_b[head] = true, head++;
    while (tail < n - head && tail < m - head && cairn_str_equal(ret->a.at[n - tail - 1], ret->b.at[m - tail - 1]))
        tail++, ret->kept_a[n - tail] = ret->kept_b[m - tail] = true;
    if (n - head - tail > 1000000 || m - head - tail > 1000000)
        return true;
    return search(ret, head, (int)(n - head - tail), (int)(m - head - tail));
}

bool
diff_count(cairn_str a, cairn_str b, size_t *ret_added, size_t *ret_removed)
{
    struct script script;
    bool fine = compare(a, b, &script);
    *ret_added = *ret_removed = 0;
    for (size_t i = 0; fine && i < script.a.count; i++)
        *ret_removed += !script.kept_a[i];
    for (size_t i = 0; fine && i < script.b.count; i++)
        *ret_added += !script.kept_b[i];
    script_free(&script);
    return fine;
}

/* ---- unified ----------------------------------------------------------------------------------------------- */

static void
put_line(struct buf *to, char mark, cairn_str line, bool colour)
{
    bool whole = line.size && line.data[line.size - 1] == '\n';
    bool carriage = false;
    line.size -= whole;
    if (line.size && line.data[line.size - 1] == '\r')
        carriage = true, line.size--;
    if (colour && mark != ' ')
        buf_put_str(to, mark == '+' ? CAIRN_STR("\033[32m") : CAIRN_STR("\033[31m"));
    buf_put_char(to, mark);
    for (size_t i = 0; i < line.size; i++) { /* tabs stay tabs; nothing else that steers a terminal */
        const char *tab = memchr(line.data + i, '\t', line.size - i);
        size_t size = tab ? (size_t)(tab - line.data) - i : line.size - i;
        put_printable(to, (cairn_str){line.data + i, size}, 0);
        if (tab)
            buf_put_char(to, '\t');
        i += size;
    }
    if (carriage && mark != ' ')
        buf_put_str(to, CAIRN_STR("^M"));
    if (colour && mark != ' ')
        buf_put_str(to, CAIRN_STR("\033[0m"));
    buf_put_str(to, whole ? CAIRN_STR("\n") : CAIRN_STR("\n\\ No newline at end of file\n"));
}

/* From (i, j): how far the same lines go on. */
static size_t
same_run(const struct script *s, size_t i, size_t j)
{
    size_t run = 0;
    while (i + run < s->a.count && j + run < s->b.count && s->kept_a[i + run] && s->kept_b[j + run])
        run++;
    return run;
}

static void
past_change(const struct script *s, size_t *i, size_t *j)
{
    while (*i < s->a.count && !s->kept_a[*i])
        ++*i;
    while (*j < s->b.count && !s->kept_b[*j])
        ++*j;
}

/* A hunk begins at (i, j), CONTEXT lines before a change, and ends before more than two contexts of same lines. */
static void
put_hunk(struct buf *to, const struct script *s, size_t *i, size_t *j, bool colour)
{
    size_t first_i = *i, first_j = *j, end_i = *i, end_j = *j;
    size_t run = same_run(s, end_i, end_j);
    for (;;) {
        end_i += run, end_j += run;
        past_change(s, &end_i, &end_j);
        run = same_run(s, end_i, end_j);
        bool last = end_i + run == s->a.count && end_j + run == s->b.count;
        if (last || run > 2 * CONTEXT) {
            end_i += run < CONTEXT ? run : CONTEXT;
            end_j += run < CONTEXT ? run : CONTEXT;
            break;
        }
    }
    size_t count_a = end_i - first_i, count_b = end_j - first_j;
    buf_printf(to, "%s@@ -%zu,%zu +%zu,%zu @@%s\n", colour ? "\033[36m" : "", first_i + (count_a > 0), count_a,
               first_j + (count_b > 0), count_b, colour ? "\033[0m" : "");
    while (*i < end_i || *j < end_j) {
        if (*i < end_i && !s->kept_a[*i])
            put_line(to, '-', s->a.at[(*i)++], colour);
        else if (*j < end_j && !s->kept_b[*j])
            put_line(to, '+', s->b.at[(*j)++], colour);
        else
            put_line(to, ' ', s->a.at[*i], colour), ++*i, ++*j;
    }
}

void
diff_put(struct buf *to, const char *name_a, cairn_str a, const char *name_b, cairn_str b, bool colour)
{
    struct script script;
    if (cairn_str_equal(a, b))
        return;
    if (!compare(a, b, &script)) {
        to->failed = true;
        script_free(&script);
        return;
    }
    buf_printf(to, "%s--- %s\n+++ %s%s\n", colour ? "\033[1m" : "", name_a, name_b, colour ? "\033[0m" : "");
    for (size_t i = 0, j = 0; i < script.a.count || j < script.b.count;) {
        size_t run = same_run(&script, i, j);
        if (i + run == script.a.count && j + run == script.b.count)
            break;
        if (run > CONTEXT)
            i += run - CONTEXT, j += run - CONTEXT;
        put_hunk(to, &script, &i, &j, colour);
    }
    script_free(&script);
}
