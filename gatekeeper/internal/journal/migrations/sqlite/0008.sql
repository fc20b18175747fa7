-- The platforms of indexes whose judgement asks what is attested about each:
-- what arrives about one wakes the pushes of the index.
CREATE TABLE platforms (
  source     TEXT NOT NULL,
  repository TEXT NOT NULL,
  part_of    TEXT NOT NULL,           -- the digest of the index
  digest     TEXT NOT NULL,
  PRIMARY KEY (source, repository, part_of, digest)
) WITHOUT ROWID;
CREATE INDEX platforms_digest ON platforms (source, repository, digest);

-- All places of a release, whatever its channels.
CREATE INDEX golden_releases_digest ON golden_releases (registry, repository, digest);
