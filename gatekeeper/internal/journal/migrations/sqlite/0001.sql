CREATE TABLE pushes (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      TEXT    NOT NULL,
  repository  TEXT    NOT NULL,
  tag         TEXT    NOT NULL,           -- empty: pushed by digest
  digest      TEXT    NOT NULL,           -- empty: not resolved yet
  media_type  TEXT    NOT NULL,
  actor       TEXT    NOT NULL,
  event_id    TEXT    NOT NULL,           -- empty: the format has none
  received_at INTEGER NOT NULL,           -- Unix time in nanoseconds, like all times here
  state       TEXT    NOT NULL,           -- queued, judging, retrying, done, or a verdict
  attempt     INTEGER NOT NULL DEFAULT 0, -- failed attempts in a row
  problem     TEXT    NOT NULL DEFAULT '',
  wakes       INTEGER NOT NULL DEFAULT 0, -- how often evidence arrived
  woken_at    INTEGER NOT NULL DEFAULT 0, -- when it did last
  job_id      INTEGER                     -- the one job that will look at it; null: none
);
CREATE UNIQUE INDEX pushes_event ON pushes (source, event_id) WHERE event_id <> '';
CREATE INDEX pushes_tag ON pushes (source, repository, tag, id);
CREATE INDEX pushes_digest ON pushes (source, repository, digest, id);
CREATE INDEX pushes_open ON pushes (state) WHERE state IN ('queued', 'judging', 'retrying', 'pending');

CREATE TABLE evidence (
  hash TEXT PRIMARY KEY, -- SHA-256 of the JSON
  body BLOB NOT NULL     -- the JSON, zstd
) WITHOUT ROWID;

CREATE TABLE decisions (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  push_id    INTEGER NOT NULL REFERENCES pushes (id),
  source     TEXT    NOT NULL,
  repository TEXT    NOT NULL,
  tag        TEXT    NOT NULL,
  digest     TEXT    NOT NULL,
  verdict    TEXT    NOT NULL,
  policies   TEXT    NOT NULL, -- names, each between commas
  decided_at INTEGER NOT NULL,
  body       TEXT    NOT NULL, -- JSON without evidence
  evidence   TEXT    REFERENCES evidence (hash)
);
CREATE INDEX decisions_push ON decisions (push_id, id);
CREATE INDEX decisions_image ON decisions (repository, tag, id);
CREATE INDEX decisions_digest ON decisions (digest, id);
CREATE INDEX decisions_verdict ON decisions (verdict, id);

CREATE TABLE golden (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  decision_id INTEGER NOT NULL REFERENCES decisions (id),
  registry    TEXT    NOT NULL,
  repository  TEXT    NOT NULL,
  tag         TEXT    NOT NULL,
  digest      TEXT    NOT NULL,
  push_id     INTEGER NOT NULL REFERENCES pushes (id),
  at          INTEGER NOT NULL,
  UNIQUE (decision_id, registry, repository, tag)
);
CREATE INDEX golden_tag ON golden (registry, repository, tag, id);
