-- Who did the work: what each employee began and ended, and on which days they were seen.
-- from case

-- table
CREATE TABLE work (
    id INTEGER PRIMARY KEY,    -- position of the event that began it
    application TEXT NOT NULL,
    activity TEXT NOT NULL,
    resource TEXT,
    started TEXT NOT NULL,
    completed TEXT,
    ms INTEGER
);
CREATE INDEX work_open ON work (application, activity) WHERE completed IS NULL;
CREATE INDEX work_resource ON work (resource);
CREATE TABLE resource_day (
    resource TEXT NOT NULL,
    day TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (resource, day)
) WITHOUT ROWID;

-- on "W_Afhandelen leads", "W_Beoordelen fraude", "W_Completeren aanvraag", "W_Nabellen incomplete dossiers", "W_Nabellen offertes", "W_Valideren aanvraag", "W_Wijzigen contractgegevens"
INSERT INTO work (id, application, activity, resource, started)
SELECT :position, :stream_id, substr(:type, 3), :data."org:resource", :meta.occurred_at
WHERE :data."lifecycle:transition" = 'START';
UPDATE work SET completed = :meta.occurred_at, resource = coalesce(resource, :data."org:resource"),
    ms = (strftime('%s', :meta.occurred_at) - strftime('%s', started)) * 1000
       + CAST(substr(:meta.occurred_at, 21, 3) AS INTEGER) - CAST(substr(started, 21, 3) AS INTEGER)
WHERE :data."lifecycle:transition" = 'COMPLETE'
  AND id = (SELECT max(id) FROM work
            WHERE application = :stream_id AND activity = substr(:type, 3) AND completed IS NULL);

-- on *
INSERT INTO resource_day (resource, day, events)
SELECT :data."org:resource", substr(:meta.occurred_at, 1, 10), 1 WHERE :data."org:resource" IS NOT NULL
ON CONFLICT (resource, day) DO UPDATE SET events = events + 1;
