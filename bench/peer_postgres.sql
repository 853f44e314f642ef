-- An event store in PostgreSQL the way message-db makes one: one table, writers of a category taking turns
-- under an advisory lock that lasts until commit, so that nobody reads past an uncommitted event of the
-- category he follows; the expected version is checked under the lock. Fewer indexes than message-db has,
-- to the peer's advantage: none on the id, none on the category.
CREATE TABLE message (
    global_position bigserial PRIMARY KEY,
    stream text NOT NULL,
    position bigint NOT NULL,
    type text NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    data jsonb NOT NULL,
    metadata jsonb,
    time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stream, position)
);

CREATE FUNCTION next_position(wanted_stream text, expected bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last_position bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(split_part(wanted_stream, '-', 1), 0));
    SELECT coalesce(max(m.position), -1) INTO last_position FROM message m WHERE m.stream = wanted_stream;
    IF expected IS NOT NULL AND expected <> last_position THEN
        RAISE EXCEPTION 'Wrong expected version: % (stream %, at %)', expected, wanted_stream, last_position;
    END IF;
    RETURN last_position + 1;
END $$;

CREATE FUNCTION write_message(wanted_stream text, message_type text, message_data jsonb, expected bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    at_position bigint := next_position(wanted_stream, expected);
BEGIN
    INSERT INTO message (stream, position, type, data) VALUES (wanted_stream, at_position, message_type, message_data);
    RETURN at_position;
END $$;

-- Many at once: one round trip, one statement, one transaction.
CREATE FUNCTION write_messages(wanted_stream text, message_type text, documents jsonb, expected bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    at_position bigint := next_position(wanted_stream, expected);
BEGIN
    INSERT INTO message (stream, position, type, data)
    SELECT wanted_stream, at_position + ordinality - 1, message_type, value
    FROM jsonb_array_elements(documents) WITH ORDINALITY;
    RETURN at_position + jsonb_array_length(documents) - 1;
END $$;
