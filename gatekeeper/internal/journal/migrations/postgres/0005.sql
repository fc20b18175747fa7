-- What golden images are made of, by which images are known that are built on
-- them: one row for each platform.
CREATE TABLE golden_layers (
  registry     text NOT NULL,
  repository   text NOT NULL,
  digest       text NOT NULL, -- of what was promoted
  manifest     text NOT NULL, -- of the platform
  layers       bigint NOT NULL, -- how many
  digest_chain text NOT NULL, -- over the layers as they are stored, in the way of a ChainID
  diff_chain   text NOT NULL, -- ChainID of all layers; empty: nobody compared the diff_ids with the layers
  source       text NOT NULL, -- the repository it was pushed to
  claims       text NOT NULL, -- JSON: its labels and annotations that name its own base
  PRIMARY KEY (registry, repository, digest, manifest)
);
CREATE INDEX golden_layers_digest_chain ON golden_layers (digest_chain);
CREATE INDEX golden_layers_diff_chain ON golden_layers (diff_chain);
CREATE INDEX golden_layers_digest ON golden_layers (digest);
CREATE INDEX golden_layers_manifest ON golden_layers (manifest);

-- The order in which digests became golden.
CREATE TABLE golden_releases (
  registry   text NOT NULL,
  repository text NOT NULL,
  channel    text NOT NULL, -- empty: the repository as a whole
  digest     text NOT NULL,
  place      bigint NOT NULL, -- golden.id of its first promotion to the repository, of the last one to the channel
  at         bigint NOT NULL, -- when that was
  PRIMARY KEY (registry, repository, channel, digest)
);
CREATE INDEX golden_releases_place ON golden_releases (registry, repository, channel, place);

-- The golden base of each platform of a golden image, as the policy that let it
-- through found it.
CREATE TABLE golden_bases (
  registry        text NOT NULL,
  repository      text NOT NULL,
  digest          text NOT NULL,
  manifest        text NOT NULL,
  base_registry   text NOT NULL,
  base_repository text NOT NULL,
  base_digest     text NOT NULL,
  base_manifest   text NOT NULL,
  PRIMARY KEY (registry, repository, digest, manifest)
);

-- Whether the tables above know of a promotion: those from before, and those of
-- processes of an older version, are filled in when somebody asks.
ALTER TABLE golden ADD COLUMN in_lineage integer NOT NULL DEFAULT 0;
CREATE INDEX golden_not_in_lineage ON golden (decision_id, id) WHERE in_lineage = 0;
CREATE INDEX golden_digest ON golden (registry, repository, digest, id);
