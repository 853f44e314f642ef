/* A dynamic consistency boundary (dcb.events): a course has a limited number of places, and a
 * student may take a limited number of courses. No stream is "the" boundary of that decision: the rule
 * looks at all events that bear the course's tag or the student's, and the append is accepted
 * only if no new one of them has come since they were read.
 *
 *   ./conditions FOLDER */
#include <cairn/cairn.h>
#include <stdio.h>

#define PLACES 2
#define COURSES_MAX 2

static cairn_store *store;

/* What the decision needs to know, and up to where it looked. */
struct view {
    int students_in_course, courses_of_student;
    int64_t seen; /* last position that was looked at; -1: none */
};

static int
has_tag(const cairn_event *event, cairn_str tag)
{
    for (size_t i = 0; i < event->tag_count; i++)
        if (cairn_str_equal(event->tags[i], tag))
            return 1;
    return 0;
}

static cairn_err
look(const cairn_query *query, cairn_str course, cairn_str student, struct view *view,
     cairn_error *error)
{
    *view = (struct view){.seen = -1};
    const cairn_read_options options = {.query = *query};
    cairn_reader *reader;
    cairn_err err = cairn_read_all(store, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    cairn_recorded event;
    while ((err = cairn_reader_next(reader, &event, error)) == CAIRN_OK) {
        view->students_in_course += has_tag(&event.event, course);
        view->courses_of_student += has_tag(&event.event, student);
        view->seen = (int64_t)event.position;
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* NULL when the student is in, else why not. Tries again when somebody else was quicker. */
static const char *
enrol(const char *student_name, const char *course_name)
{
    char student_text[64], course_text[64], stream[64];
    snprintf(student_text, sizeof student_text, "student:%s", student_name);
    snprintf(course_text, sizeof course_text, "course:%s", course_name);
    snprintf(stream, sizeof stream, "enrolment-%s-%s", student_name, course_name);
    cairn_str student = cairn_cstr(student_text), course = cairn_cstr(course_text);

    const cairn_str type = CAIRN_STR("StudentEnrolled");
    const cairn_query_item items[] = {
        {.types = &type, .type_count = 1, .tags = &course, .tag_count = 1},
        {.types = &type, .type_count = 1, .tags = &student, .tag_count = 1},
    };
    const cairn_query query = {items, 2};

    for (int attempt = 0; attempt < 10; attempt++) {
        static cairn_error error;
        struct view view;
        if (look(&query, course, student, &view, &error) != CAIRN_OK)
            return error.detail;
        if (view.students_in_course >= PLACES)
            return "the course is full";
        if (view.courses_of_student >= COURSES_MAX)
            return "the student has enough courses";

        const cairn_str tags[] = {course, student};
        const cairn_event event = {
            .type = type, .data = CAIRN_STR("{}"), .tags = tags, .tag_count = 2};
        const cairn_write write = {cairn_cstr(stream), CAIRN_NONE, &event, 1};
        const cairn_condition condition = {query, view.seen};
        const cairn_append_request request = {
            .writes = &write, .write_count = 1, .conditions = &condition, .condition_count = 1};
        cairn_at at;
        cairn_err err = cairn_append_all(store, &request, &at, &error);
        if (err == CAIRN_OK)
            return NULL;
        if (err == CAIRN_E_CONFLICT)
            return "the student is in that course already";
        if (err != CAIRN_E_CONDITION)
            return error.detail;
    }
    return "too many others at the same time";
}

/* What the condition is for: a decision on old knowledge is refused, with the event that it missed. */
static void
decide_on_old_knowledge(void)
{
    const cairn_str course = CAIRN_STR("course:physics");
    const cairn_query_item item = {.tags = &course, .tag_count = 1};
    const cairn_event event = {
        .type = CAIRN_STR("StudentEnrolled"), .data = CAIRN_STR("{}"), .tags = &course, .tag_count = 1};
    const cairn_write write = {CAIRN_STR("enrolment-late"), CAIRN_ANY, &event, 1};
    const cairn_condition nothing_seen = {{&item, 1}, -1};
    const cairn_append_request request = {
        .writes = &write, .write_count = 1, .conditions = &nothing_seen, .condition_count = 1};
    cairn_at at;
    cairn_error error;
    cairn_err err = cairn_append_all(store, &request, &at, &error);
    printf("on old knowledge: %s\n", err == CAIRN_OK ? "accepted" : cairn_err_name(err));
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    const cairn_options options = {.create = true};
    cairn_error error;
    if (cairn_open(argv[1], &options, &store, &error) != CAIRN_OK) {
        fprintf(stderr, "open: %s\n", error.detail);
        return 1;
    }
    const char *wishes[][2] = {{"ann", "physics"}, {"bob", "physics"}, {"cid", "physics"},
                               {"ann", "music"},   {"ann", "sport"},   {"bob", "music"}};
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        const char *refusal = enrol(wishes[i][0], wishes[i][1]);
        printf("%s into %s: %s\n", wishes[i][0], wishes[i][1], refusal ? refusal : "enrolled");
    }
    decide_on_old_knowledge();
    cairn_close(store);
    return 0;
}
