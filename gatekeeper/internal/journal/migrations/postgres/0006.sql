-- Which exceptions a judgement took: policy/key, between commas; empty: none,
-- or recorded before that was written down.
ALTER TABLE decisions ADD COLUMN exceptions text NOT NULL DEFAULT '';
CREATE INDEX decisions_exceptions ON decisions (id) WHERE exceptions <> '';
