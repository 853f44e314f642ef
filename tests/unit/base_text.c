/* base/text.h: UTF-8, numbers, sizes, durations, times, UUIDs, encodings, figures for people. */
#include "test.h"

#include <base/text.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- UTF-8 */

/* Goal: exactly the well-formed sequences are accepted.
 * Method: every sequence of two, three and four bytes at the edges of table 3-7 of Unicode. */
TEST(utf8_accepts_only_well_formed)
{
    const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},          {"plain", true},         {"\x7f", true},          {"\x80", false},
        {"\xbf", false},     {"\xc0\x80", false},     {"\xc1\xbf", false},     {"\xc2\x80", true},
        {"\xc2", false},     {"\xc2\x7f", false},     {"\xc2\xc0", false},     {"\xdf\xbf", true},
        {"\xe0\x9f\xbf", false}, {"\xe0\xa0\x80", true}, {"\xe0\xa0", false},  {"\xe1\x80\x7f", false},
        {"\xed\x9f\xbf", true},  {"\xed\xa0\x80", false}, {"\xed\xbf\xbf", false}, {"\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},  {"\xf0\x8f\xbf\xbf", false}, {"\xf0\x90\x80\x80", true},
        {"\xf0\x90\x80", false}, {"\xf4\x8f\xbf\xbf", true},  {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false}, {"\xff", false}, {"\xfe", false}, {"ok \xe2\x82\xac ok", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_INT(utf8_valid(cairn_cstr(cases[i].text)), cases[i].valid);
    CHECK(utf8_valid((cairn_str){NULL, 0}));
    CHECK(utf8_valid(CAIRN_STR("a\0b")));
}

/* Goal: the answer does not depend on where in the text a sequence stands (the fast way goes by 16).
 * Method: a good and a bad character at every place of a long text, cut exactly behind it. */
TEST(utf8_finds_faults_anywhere)
{
    for (size_t place = 0; place < 70; place++) {
        char *text = malloc(place + 3);
        memset(text, 'a', place);
        memcpy(text + place, "€", 3);
        CHECK(utf8_valid((cairn_str){text, place + 3}));
        CHECK(!utf8_valid((cairn_str){text, place + 2}));
        CHECK(!utf8_valid((cairn_str){text, place + 1}));
        text[place + 1] = 'x';
        CHECK(!utf8_valid((cairn_str){text, place + 3}));
        free(text);
    }
}

/* ---- numbers */

/* Goal: whole numbers up to the edges of their types, and nothing else.
 * Method: the edges, one beyond, and everything that strtol would let through. */
TEST(numbers_are_strict)
{
    uint64_t u = 5;
    int64_t i = 5;
    CHECK(parse_u64(CAIRN_STR("0"), &u) && u == 0);
    CHECK(parse_u64(CAIRN_STR("007"), &u) && u == 7);
    CHECK(parse_u64(CAIRN_STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(parse_i64(CAIRN_STR("9223372036854775807"), &i) && i == INT64_MAX);
    CHECK(parse_i64(CAIRN_STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(parse_i64(CAIRN_STR("-0"), &i) && i == 0);
    u = 77;
    i = 77;
    const char *bad_u[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616",
                           "99999999999999999999", "1a", "-"};
    for (size_t k = 0; k < COUNT(bad_u); k++)
        CHECK(!parse_u64(cairn_cstr(bad_u[k]), &u));
    const char *bad_i[] = {"", "-", "--1", "+1", "- 1", "9223372036854775808", "-9223372036854775809",
                           "18446744073709551615", "-18446744073709551616"};
    for (size_t k = 0; k < COUNT(bad_i); k++)
        CHECK(!parse_i64(cairn_cstr(bad_i[k]), &i));
    CHECK(!parse_u64((cairn_str){NULL, 0}, &u) && !parse_i64((cairn_str){NULL, 0}, &i));
    CHECK(!parse_u64(CAIRN_STR("1\0"), &u));
    CHECK(u == 77 && i == 77); /* untouched */
}

/* Goal: sizes and durations with their units; overflow and nonsense refused.
 * Method: a table. */
TEST(sizes_and_durations)
{
    const struct {
        const char *text;
        uint64_t value;
    } sizes[] = {
        {"4096", 4096}, {"64KiB", 65536}, {"256 MiB", 256u << 20}, {"1GB", 1000000000}, {"1kb", 1000},
        {"0", 0}, {"12B", 12}, {"2TiB", UINT64_C(2) << 40}, {"1 TB", 1000000000000}, {"16777215TiB", UINT64_C(16777215) << 40},
        {"1gib", 1u << 30}, {"3 mb", 3000000},
    }, durations[] = {
        {"250ms", 250000}, {"30s", 30000000}, {"15m", 900000000}, {"2h", UINT64_C(7200000000)},
        {"7d", UINT64_C(604800000000)}, {"5us", 5}, {"0", 0}, {"0s", 0}, {"10 s", 10000000},
    };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint64_t value = 1;
        CHECK(parse_size(cairn_cstr(sizes[i].text), &value));
        CHECK(value == sizes[i].value);
    }
    for (size_t i = 0; i < COUNT(durations); i++) {
        uint64_t value = 1;
        CHECK(parse_duration(cairn_cstr(durations[i].text), &value));
        CHECK(value == durations[i].value);
    }
    uint64_t untouched = 9;
    const char *bad_sizes[] = {"", "KiB", "-1", "1.5GiB", "1  MiB", "1 ", " 1", "1MiBs", "1Mi", "1K",
                               "16777216TiB", "18446744073709551616", "0x10"};
    for (size_t i = 0; i < COUNT(bad_sizes); i++)
        CHECK(!parse_size(cairn_cstr(bad_sizes[i]), &untouched));
    const char *bad_durations[] = {"", "30", "s", "-1s", "1.5h", "1 w", "00", "1sec", "213503983d"};
    for (size_t i = 0; i < COUNT(bad_durations); i++)
        CHECK(!parse_duration(cairn_cstr(bad_durations[i]), &untouched));
    CHECK(untouched == 9);
}

/* ---- times */

static void
check_time(const char *text, int64_t seconds, int64_t us)
{
    int64_t time_us = 0;
    if (!parse_time(cairn_cstr(text), &time_us))
        fail_msg("%s was refused", text);
    if (time_us != seconds * 1000000 + us)
        fail_msg("%s: %lld", text, (long long)time_us);
}

/* Goal: RFC 3339 times mean what they say.
 * Method: the examples of its §5.8, offsets, fractions, leap days, and the first and last moments. */
TEST(times_are_read)
{
    check_time("1985-04-12T23:20:50.52Z", 482196050, 520000);
    check_time("1996-12-19T16:39:57-08:00", 851042397, 0);
    check_time("1990-12-31T23:59:60Z", 662688000, 0); /* leap seconds count as the next one */
    check_time("1990-12-31T15:59:60-08:00", 662688000, 0);
    check_time("1937-01-01T12:00:27.87+00:20", -1041337173, 870000);
    check_time("1970-01-01T00:00:00Z", 0, 0);
    check_time("1970-01-01", 0, 0);
    check_time("1969-12-31T23:59:59.999999Z", -1, 999999);
    check_time("2026-11-21T08:31:11.123456Z", 1795249871, 123456);
    check_time("2026-11-21t08:31:11.123456789z", 1795249871, 123456); /* truncated */
    check_time("2026-11-21 08:31:11Z", 1795249871, 0);
    check_time("2026-11-21T09:31:11+01:00", 1795249871, 0);
    check_time("2026-11-20T09:01:11-23:30", 1795249871, 0);
    check_time("2026-11-21T08:31:11-00:00", 1795249871, 0);
    check_time("2026-11-21", 1795219200, 0);
    check_time("2000-02-29", 951782400, 0);
    check_time("2024-02-29T00:00:00Z", 1709164800, 0);
    check_time("0000-01-01T00:00:00Z", -62167219200, 0);
    check_time("0000-02-29T00:00:00Z", -62162121600, 0);
    check_time("9999-12-31T23:59:59.999999999Z", 253402300799, 999999);
}

/* Goal: what is no time is refused. Method: a list, and every prefix of a good one but the plain date. */
TEST(malformed_times_are_refused)
{
    const char *bad[] = {
        "", "2026", "2026-13-01", "2026-00-10", "2026-01-00", "2026-04-31", "2026-02-29", "1900-02-29",
        "2100-02-29", "26-01-01", "2026-1-1", "2026/01/01", "2026-01-01T", "2026-01-01T00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+01", "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00ZZ", " 2026-01-01", "2026-01-01 ", "2026-01-01x00:00:00Z",
        "-026-01-01", "+2026-01-01", "2026-01-01T-1:00:00Z", "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z",
    };
    int64_t time_us = 42;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (parse_time(cairn_cstr(bad[i]), &time_us))
            fail_msg("%s was accepted", bad[i]);
    const char *good = "2026-11-21T08:31:11.123456+01:00";
    for (size_t size = 0; size < strlen(good); size++)
        if (size != 10)
            CHECK(!parse_time((cairn_str){good, size}, &time_us));
    CHECK(time_us == 42);
}

/* Goal: a time is written as the C library's calendar says, and reads back the same.
 * Method: each day of the first 401 years, and random times of all years. */
TEST(times_agree_with_calendar)
{
    uint64_t seed = test_seed();
    const int64_t first = -62167219200, last = 253402300799;
    for (int round = 0; round < 200000; round++) {
        int64_t seconds = first + (int64_t)(test_random(&seed) % (uint64_t)(last - first + 1));
        if (round < 146097 + 366) /* every day of an era, and the first year of the next */
            seconds = first + (int64_t)round * 86400 + seconds % 43200 + 43200;
        int64_t us = (int64_t)(test_random(&seed) % 1000000);
        char text[TIME_TEXT_SIZE], expected[128];
        struct tm tm;
        time_t clock = seconds;
        gmtime_r(&clock, &tm);
        snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)us);
        CHECK_INT(format_time(seconds * 1000000 + us, text), 27);
        CHECK_STR(text, expected);
        int64_t read;
        CHECK(parse_time(cairn_cstr(text), &read));
        CHECK(read == seconds * 1000000 + us);
    }
}

/* Goal: a time that has no four-figure year is still 27 characters. Method: the extremes. */
TEST(times_out_of_range_are_clamped)
{
    char text[TIME_TEXT_SIZE];
    CHECK_INT(format_time(INT64_MAX, text), 27);
    CHECK_STR(text, "9999-12-31T23:59:59.999999Z");
    CHECK_INT(format_time(INT64_MIN, text), 27);
    CHECK_STR(text, "0000-01-01T00:00:00.000000Z");
}

/* ---- UUIDs */

/* Goal: UUIDs are read in either case and written in lower case; anything else is refused.
 * Method: one of each, then a fault at each place. */
TEST(uuids_read_and_write)
{
    const char *lower = "0192f3a8-1c2d-7e3f-8a4b-5c6d7e8f9a0b";
    cairn_uuid id, again;
    char text[UUID_TEXT_SIZE];
    CHECK(parse_uuid(cairn_cstr(lower), &id));
    CHECK(id.bytes[0] == 0x01 && id.bytes[5] == 0x2D && id.bytes[15] == 0x0B);
    format_uuid(id, text);
    CHECK_STR(text, lower);
    CHECK(parse_uuid(CAIRN_STR("0192F3A8-1C2D-7E3F-8A4B-5C6D7E8F9A0B"), &again));
    assert_memory_equal(&id, &again, sizeof id);
    CHECK(!uuid_is_zero(id));
    CHECK(parse_uuid(CAIRN_STR("00000000-0000-0000-0000-000000000000"), &id) && uuid_is_zero(id));
    for (size_t i = 0; i < 36; i++) {
        char bad[37];
        memcpy(bad, lower, 37);
        bad[i] = bad[i] == '-' ? '0' : 'g';
        CHECK(!parse_uuid(cairn_cstr(bad), &again));
        CHECK(!parse_uuid((cairn_str){lower, i}, &again));
    }
    CHECK(!parse_uuid(CAIRN_STR("0192f3a8-1c2d-7e3f-8a4b-5c6d7e8f9a0b "), &again));
    CHECK(!parse_uuid(CAIRN_STR("{192f3a8-1c2d-7e3f-8a4b-5c6d7e8f9a0}"), &again));
}

/* Goal: version 7 has its time, version and variant in place. Method: RFC 9562 appendix A.6. */
TEST(uuid_v7_is_rfc_9562)
{
    const uint8_t random[10] = {0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F};
    char text[UUID_TEXT_SIZE];
    format_uuid(uuid_v7(INT64_C(1645557742000999), random), text);
    CHECK_STR(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    uint8_t ones[10];
    memset(ones, 0xFF, 10);
    format_uuid(uuid_v7(-1, ones), text); /* before 1970 there is no version 7 */
    CHECK_STR(text, "00000000-0000-7fff-bfff-ffffffffffff");
}

/* Goal: version 5 is the same id for the same name. Method: RFC 9562 appendix A.4. */
TEST(uuid_v5_is_rfc_9562)
{
    cairn_uuid dns;
    char text[UUID_TEXT_SIZE];
    CHECK(parse_uuid(CAIRN_STR("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), &dns));
    format_uuid(uuid_v5(dns, CAIRN_STR("www.example.com")), text);
    CHECK_STR(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    format_uuid(uuid_v5(dns, (cairn_str){NULL, 0}), text);
    CHECK_INT(text[14], '5');
}

/* ---- encodings */

/* Goal: hexadecimal goes and comes. Method: all bytes; odd, short and foreign texts are refused. */
TEST(hex_goes_and_comes)
{
    uint8_t bytes[256], read[256];
    char text[513];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    format_hex(bytes, 256, text);
    CHECK_INT(strlen(text), 512);
    assert_memory_equal(text, "000102", 6);
    assert_memory_equal(text + 506, "fdfeff", 6);
    CHECK(parse_hex(cairn_cstr(text), read, 256));
    assert_memory_equal(read, bytes, 256);
    CHECK(parse_hex(CAIRN_STR("aBCdEf"), read, 3) && read[0] == 0xAB && read[2] == 0xEF);
    CHECK(parse_hex((cairn_str){NULL, 0}, read, 0));
    read[0] = 7;
    CHECK(!parse_hex(CAIRN_STR("abcdef"), read, 2) && !parse_hex(CAIRN_STR("abcdef"), read, 4));
    CHECK(!parse_hex(CAIRN_STR("abcde"), read, 2) && !parse_hex(CAIRN_STR("0x"), read, 1));
    CHECK_INT(read[0], 7);
}

static void
check_base64(cairn_str plain, const char *text)
{
    struct buf to = {0};
    buf_put_char(&to, '>'); /* they append */
    base64_put(&to, plain);
    CHECK(cairn_str_equal((cairn_str){to.data + 1, to.size - 1}, cairn_cstr(text)));
    buf_clear(&to);
    CHECK(base64_get(&to, cairn_cstr(text)));
    CHECK(cairn_str_equal(buf_str(&to), plain));
    cairn_str bare = cairn_cstr(text);
    while (bare.size && bare.data[bare.size - 1] == '=')
        bare.size--;
    buf_clear(&to);
    CHECK(base64_get(&to, bare));
    CHECK(cairn_str_equal(buf_str(&to), plain));
    buf_free(&to);
}

/* Goal: base64. Method: the vectors of RFC 4648 §10, both alphabets, then all lengths at random. */
TEST(base64_goes_and_comes)
{
    check_base64((cairn_str){NULL, 0}, "");
    check_base64(CAIRN_STR("f"), "Zg==");
    check_base64(CAIRN_STR("fo"), "Zm8=");
    check_base64(CAIRN_STR("foo"), "Zm9v");
    check_base64(CAIRN_STR("foob"), "Zm9vYg==");
    check_base64(CAIRN_STR("fooba"), "Zm9vYmE=");
    check_base64(CAIRN_STR("foobar"), "Zm9vYmFy");
    check_base64(CAIRN_STR("\xfb\xff\xbf"), "+/+/");
    struct buf to = {0}, back = {0};
    CHECK(base64_get(&to, CAIRN_STR("-_-_")));
    CHECK(cairn_str_equal(buf_str(&to), CAIRN_STR("\xfb\xff\xbf")));
    uint64_t seed = test_seed();
    char bytes[200];
    for (size_t size = 0; size < sizeof bytes; size++) {
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)test_random(&seed);
        buf_clear(&to);
        buf_clear(&back);
        base64_put(&to, (cairn_str){bytes, size});
        CHECK_INT(to.size, (size + 2) / 3 * 4);
        CHECK(base64_get(&back, buf_str(&to)));
        CHECK(cairn_str_equal(buf_str(&back), (cairn_str){bytes, size}));
    }
    buf_free(&to);
    buf_free(&back);
}

/* Goal: what no encoder writes is refused, and the buffer is as before.
 * Method: foreign characters, lone ones, padding in wrong places, left-over bits. */
TEST(base64_refuses_malformed)
{
    const char *bad[] = {"A",    "Zm9vA", "A===",  "Z",    "Zg=",  "Zg===", "=",     "==",      "====",     "Z===", "Zm9vZ",
                         "Zm 9v", "Zm9v\n", "Zg==Zg==", "Zm=v", "Zh==", "Zm9=", "Zm9v====", "*m9v", "Zm8=="};
    struct buf to = {0};
    buf_put_char(&to, '>');
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (base64_get(&to, cairn_cstr(bad[i])))
            fail_msg("%s was accepted", bad[i]);
        CHECK(to.size == 1 && to.data[0] == '>' && !to.failed);
    }
    buf_free(&to);
}

/* Goal: percent-encoding escapes all but RFC 3986's unreserved characters and reads back.
 * Method: all bytes; then form encoding, and bad escapes. */
TEST(percent_goes_and_comes)
{
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    struct buf to = {0}, back = {0};
    percent_put(&to, (cairn_str){bytes, 256});
    CHECK_INT(to.size, 66 + 3 * 190);
    CHECK(percent_get(&back, buf_str(&to), false));
    CHECK(cairn_str_equal(buf_str(&back), (cairn_str){bytes, 256}));
    buf_clear(&to);
    percent_put(&to, CAIRN_STR("order 42/ä~a_b.c-d"));
    CHECK(cairn_str_equal(buf_str(&to), CAIRN_STR("order%2042%2F%C3%A4~a_b.c-d")));
    buf_clear(&back);
    CHECK(percent_get(&back, CAIRN_STR("a+b%2bc%2B"), false));
    CHECK(cairn_str_equal(buf_str(&back), CAIRN_STR("a+b+c+")));
    buf_clear(&back);
    CHECK(percent_get(&back, CAIRN_STR("a+b%2bc"), true));
    CHECK(cairn_str_equal(buf_str(&back), CAIRN_STR("a b+c")));
    const char *bad[] = {"%", "a%2", "%g0", "%0g", "ab%", "%%20", "%2"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char *exact = malloc(strlen(bad[i])); /* so that reading beyond is seen */
        memcpy(exact, bad[i], strlen(bad[i]));
        CHECK(!percent_get(&back, (cairn_str){exact, strlen(bad[i])}, false));
        CHECK_INT(back.size, 5);
        free(exact);
    }
    buf_free(&to);
    buf_free(&back);
}

/* Goal: encoders of no memory say so. Method: a buffer that has failed, and an impossible size. */
TEST(encoders_respect_failure)
{
    struct buf to = {.failed = true};
    base64_put(&to, CAIRN_STR("abc"));
    percent_put(&to, CAIRN_STR("abc"));
    CHECK(!base64_get(&to, CAIRN_STR("Zm9v")) && !percent_get(&to, CAIRN_STR("abc"), false));
    CHECK(to.failed && to.size == 0 && !to.data);
    buf_clear(&to);
    base64_put(&to, (cairn_str){"x", SIZE_MAX - 1});
    CHECK(to.failed && to.size == 0);
    buf_free(&to);
}

/* Goal: figures that people read at a glance. Method: a table with the edges of the units. */
TEST(figures_for_people)
{
    char to[32];
    const struct {
        uint64_t n;
        const char *text;
    } counts[] = {{0, "0"}, {999, "999"}, {1000, "1.0k"}, {1234567, "1.2M"}, {12345, "12.3k"}, {99949, "99.9k"},
                  {99951, "100k"}, {999499, "999k"}, {999500, "1.0M"}, {UINT64_MAX, "18.4E"}},
      sizes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1610612736, "1.5 GiB"}, {1048575, "1.0 MiB"},
                 {UINT64_C(1023) << 20, "1023 MiB"}, {UINT64_MAX, "16.0 EiB"}},
      times[] = {{0, "0 µs"}, {999, "999 µs"}, {1000, "1.0 ms"}, {99999, "99.9 ms"}, {999999, "999 ms"},
                 {1000000, "1.0 s"}, {59999999, "59.9 s"}, {123000000, "2m 03s"}, {UINT64_C(3599999999), "59m 59s"},
                 {UINT64_C(11100000000), "3h 05m"}, {UINT64_C(187200000000), "2d 04h"},
                 {UINT64_MAX, "213503982d 08h"}};
    for (size_t i = 0; i < COUNT(counts); i++)
        CHECK_STR(human_count(counts[i].n, to), counts[i].text);
    for (size_t i = 0; i < COUNT(sizes); i++)
        CHECK_STR(human_bytes(sizes[i].n, to), sizes[i].text);
    for (size_t i = 0; i < COUNT(times); i++)
        CHECK_STR(human_duration(times[i].n, to), times[i].text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(utf8_accepts_only_well_formed), RUN(utf8_finds_faults_anywhere),
        RUN(numbers_are_strict), RUN(sizes_and_durations),
        RUN(times_are_read), RUN(malformed_times_are_refused),
        RUN(times_agree_with_calendar), RUN(times_out_of_range_are_clamped),
        RUN(uuids_read_and_write), RUN(uuid_v7_is_rfc_9562), RUN(uuid_v5_is_rfc_9562),
        RUN(hex_goes_and_comes), RUN(base64_goes_and_comes), RUN(base64_refuses_malformed),
        RUN(percent_goes_and_comes), RUN(encoders_respect_failure), RUN(figures_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
