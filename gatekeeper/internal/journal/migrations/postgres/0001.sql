CREATE TABLE pushes (
  id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      text    NOT NULL,
  repository  text    NOT NULL,
  tag         text    NOT NULL,           -- empty: pushed by digest
  digest      text    NOT NULL,           -- empty: not resolved yet
  media_type  text    NOT NULL,
  actor       text    NOT NULL,
  event_id    text    NOT NULL,           -- empty: the format has none
  received_at bigint  NOT NULL,           -- Unix time in nanoseconds, like all times here
  state       text    NOT NULL,           -- queued, judging, retrying, done, or a verdict
  attempt     integer NOT NULL DEFAULT 0, -- failed attempts in a row
  problem     text    NOT NULL DEFAULT '',
  wakes       bigint  NOT NULL DEFAULT 0, -- how often evidence arrived
  woken_at    bigint  NOT NULL DEFAULT 0, -- when it did last
  rechecks    bigint  NOT NULL DEFAULT 0, -- how often there was another reason to judge it again
  job_id      bigint,                     -- the one job that will look at it; null: none
  judged_by   text    NOT NULL DEFAULT '' -- the policies in force and their trust roots
);
CREATE UNIQUE INDEX pushes_event ON pushes (source, event_id) WHERE event_id <> '';
CREATE INDEX pushes_tag ON pushes (source, repository, tag, id);
CREATE INDEX pushes_digest ON pushes (source, repository, digest, id);
CREATE INDEX pushes_open ON pushes (state) WHERE state IN ('queued', 'judging', 'retrying', 'pending');
CREATE INDEX pushes_queued ON pushes (source, repository) WHERE state = 'queued';

CREATE TABLE evidence (
  hash text  PRIMARY KEY, -- SHA-256 of the JSON
  body bytea NOT NULL     -- the JSON, zstd
);
ALTER TABLE evidence ALTER COLUMN body SET STORAGE EXTERNAL; -- it is compressed already

CREATE TABLE decisions (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  push_id    bigint NOT NULL REFERENCES pushes (id),
  source     text   NOT NULL,
  repository text   NOT NULL,
  tag        text   NOT NULL,
  digest     text   NOT NULL,
  verdict    text   NOT NULL,
  policies   text   NOT NULL, -- names, each between commas
  decided_at bigint NOT NULL,
  body       text   NOT NULL, -- JSON without evidence
  evidence   text   REFERENCES evidence (hash)
);
CREATE INDEX decisions_push ON decisions (push_id, id);
CREATE INDEX decisions_image ON decisions (repository, tag, id);
CREATE INDEX decisions_digest ON decisions (digest, id);
CREATE INDEX decisions_verdict ON decisions (verdict, id);
CREATE INDEX decisions_evidence ON decisions (evidence);

CREATE TABLE golden (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  decision_id bigint NOT NULL REFERENCES decisions (id),
  registry    text   NOT NULL,
  repository  text   NOT NULL,
  tag         text   NOT NULL,
  digest      text   NOT NULL,
  push_id     bigint NOT NULL REFERENCES pushes (id),
  at          bigint NOT NULL,
  UNIQUE (decision_id, registry, repository, tag)
);
CREATE INDEX golden_tag ON golden (registry, repository, tag, id);
CREATE INDEX golden_push ON golden (push_id);

-- The processes at work. One that was not seen for a while is taken for dead.
CREATE TABLE replicas (
  id      text PRIMARY KEY,
  seen_at timestamptz NOT NULL -- by this server's clock, the only one that all share
);

-- Whose turn it is to write to a golden repository.
CREATE TABLE turns (
  key     text PRIMARY KEY,
  replica text NOT NULL,
  holder  text NOT NULL UNIQUE -- one promotion of the replica
);

-- What has to exist for /readyz to write to.
CREATE TABLE probe (id integer PRIMARY KEY CHECK (id = 1), at bigint NOT NULL);
INSERT INTO probe (id, at) VALUES (1, 0);
