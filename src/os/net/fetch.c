/* HTTP requests on libcurl: fetch.h. Idle handles are kept in a list, at most so many; each holds its connections. */
#include "fetch.h"

#include <base/error.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#define IDLE_MAX 32
#define URL_MAX 2048

struct handle {
    struct handle *next;
    CURL *curl;
};

struct fetch {
    pthread_mutex_t lock;
    struct handle *idle;
    unsigned idle_count;
};

static void
prepare_library(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

cairn_err
fetch_new(struct fetch **ret, cairn_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare_library);
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for HTTP requests");
    pthread_mutex_init(&fetch->lock, NULL);
    *ret = fetch;
    return CAIRN_OK;
}

static void
handle_free(struct handle *handle)
{
    curl_easy_cleanup(handle->curl);
    free(handle);
}

void
fetch_free(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    for (struct handle *handle = fetch->idle, *next; handle != NULL; handle = next) {
        next = handle->next;
        handle_free(handle);
    }
    pthread_mutex_destroy(&fetch->lock);
    free(fetch);
}

static struct handle *
take_handle(struct fetch *fetch)
{
    pthread_mutex_lock(&fetch->lock);
    struct handle *handle = fetch->idle;
    if (handle != NULL) {
        fetch->idle = handle->next;
        fetch->idle_count--;
    }
    pthread_mutex_unlock(&fetch->lock);
    if (handle != NULL || (handle = calloc(1, sizeof *handle)) == NULL)
        return handle;
    handle->curl = curl_easy_init();
    if (handle->curl == NULL) {
        free(handle);
        return NULL;
    }
    return handle;
}

static void
give_handle(struct fetch *fetch, struct handle *handle)
{
    curl_easy_reset(handle->curl); /* keeps connections */
    pthread_mutex_lock(&fetch->lock);
    bool keep = fetch->idle_count < IDLE_MAX;
    if (keep) {
        handle->next = fetch->idle;
        fetch->idle = handle;
        fetch->idle_count++;
    }
    pthread_mutex_unlock(&fetch->lock);
    if (!keep)
        handle_free(handle);
}

struct reply {
    bool (*sink)(void *context, cairn_str bytes);
    void *context;
    size_t size, size_max;
    bool too_large;
};

static size_t
take_piece(char *bytes, size_t one, size_t count, void *context)
{
    struct reply *reply = context;
    size_t size = one * count;
    reply->too_large = size > reply->size_max - reply->size;
    if (reply->too_large || !reply->sink(reply->context, (cairn_str){bytes, size}))
        return 0;
    reply->size += size;
    return size;
}

static bool
add_header(struct curl_slist **list, cairn_str header)
{
    char *text = malloc(header.size + 1);
    if (text == NULL)
        return false;
    memcpy(text, header.data, header.size);
    text[header.size] = '\0';
    struct curl_slist *longer = curl_slist_append(*list, text);
    free(text);
    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

static bool
is_clean(cairn_str text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

static cairn_err
perform(CURL *curl, struct reply *reply, const char *url, uint32_t timeout_ms, int *ret_status, cairn_error *error)
{
    CURLcode code = curl_easy_perform(curl);
    if (reply->too_large)
        return error_set(error, CAIRN_E_LIMIT, "%.100s: the reply is larger than %zu bytes", url, reply->size_max);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(error, CAIRN_E_TIMEOUT, "%.100s: no answer within %u ms", url, timeout_ms);
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT)
        return error_set(error, CAIRN_E_INVALID, "%.100s: an http or https URL is needed", url);
    if (code != CURLE_OK)
        return error_set(error, code == CURLE_OUT_OF_MEMORY ? CAIRN_E_NOMEM : CAIRN_E_IO, "%.100s: %s", url,
                         curl_easy_strerror(code));
    long status = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    *ret_status = (int)status;
    return CAIRN_OK;
}

static CURLcode
configure(CURL *curl, const char *url, struct curl_slist *headers, cairn_str body, uint32_t timeout_ms, struct reply *reply)
{
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {{CURLOPT_POST, 1}, {CURLOPT_NOSIGNAL, 1}, {CURLOPT_TIMEOUT_MS, (long)timeout_ms},
                   {CURLOPT_FOLLOWLOCATION, 0}, {CURLOPT_POSTFIELDSIZE, (long)body.size}};
    const struct {
        CURLoption option;
        const void *value;
    } pointers[] = {{CURLOPT_URL, url}, {CURLOPT_PROTOCOLS_STR, "http,https"}, {CURLOPT_PROXY, ""},
                    {CURLOPT_HTTPHEADER, headers}, {CURLOPT_POSTFIELDS, body.size > 0 ? body.data : ""},
                    {CURLOPT_WRITEDATA, reply}};
    CURLcode code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_piece);
    for (size_t i = 0; code == CURLE_OK && i < sizeof numbers / sizeof *numbers; i++)
        code = curl_easy_setopt(curl, numbers[i].option, numbers[i].value);
    for (size_t i = 0; code == CURLE_OK && i < sizeof pointers / sizeof *pointers; i++)
        code = curl_easy_setopt(curl, pointers[i].option, pointers[i].value);
    return code;
}

static cairn_err
make_headers(const cairn_str *headers, size_t count, struct curl_slist **list, cairn_error *error)
{
    bool good = add_header(list, CAIRN_STR("Expect:"));
    for (size_t i = 0; good && i < count; i++) {
        if (!is_clean(headers[i]))
            return error_set(error, CAIRN_E_INVALID, "a header holds a control character");
        good = add_header(list, headers[i]);
    }
    return good ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory for an HTTP request");
}

cairn_err
fetch_post(void *context, cairn_str url, const cairn_str *headers, size_t header_count, cairn_str body,
           uint32_t timeout_ms, size_t reply_max, int *ret_status, bool (*sink)(void *context, cairn_str bytes),
           void *sink_context, cairn_error *error)
{
    struct fetch *fetch = context;
    char url_text[URL_MAX];
    if (url.size == 0 || url.size >= sizeof url_text || !is_clean(url))
        return error_set(error, CAIRN_E_INVALID, "a URL of 1 to %zu bytes is needed", sizeof url_text - 1);
    memcpy(url_text, url.data, url.size);
    url_text[url.size] = '\0';
    struct handle *handle = take_handle(fetch);
    if (handle == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for an HTTP request");
    struct curl_slist *list = NULL;
    struct reply reply = {sink, sink_context, 0, reply_max, false};
    cairn_err err = make_headers(headers, header_count, &list, error);
    if (err == CAIRN_OK) {
        CURLcode code = configure(handle->curl, url_text, list, body, timeout_ms, &reply);
        err = code == CURLE_OK ? perform(handle->curl, &reply, url_text, timeout_ms, ret_status, error)
                               : error_set(error, CAIRN_E_INVALID, "%.100s: %s", url_text, curl_easy_strerror(code));
    }
    give_handle(fetch, handle);
    curl_slist_free_all(list);
    return err;
}
