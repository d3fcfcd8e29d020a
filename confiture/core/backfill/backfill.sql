-- name: key_source
-- The table, its columns, and its primary key and btree indexes as lists of columns: what a batch key can be made of.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
       nullif(c.reltuples, -1)::bigint AS rows,
       ARRAY(
           SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull::text]
           FROM pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY a.attnum
       ) AS columns,
       coalesce((
           SELECT ARRAY(
               SELECT a.attname::text
               FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
               ORDER BY u.position
           )
           FROM pg_constraint k
           WHERE k.conrelid = c.oid AND k.contype = 'p'
       ), '{}') AS primary_key,
       coalesce((
           SELECT jsonb_agg(i.columns)
           FROM (
               SELECT (
                   SELECT jsonb_agg(a.attname ORDER BY u.position)
                   FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (attnum, position)
                   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
                   WHERE u.position <= i.indnkeyatts
               ) AS columns
               FROM pg_index i
               JOIN pg_class x ON x.oid = i.indexrelid
               JOIN pg_am m ON m.oid = x.relam
               WHERE i.indrelid = c.oid AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
           ) AS i
       ), '[]') AS indexes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(table)s);

-- name: backfill
SELECT b.state, b.control, b.key, b.end_key, b.estimated_rows, b.fingerprint
FROM confiture.backfills b
WHERE b.attempt = %(attempt)s AND b.segment = %(segment)s;

-- name: begin_backfill
INSERT INTO confiture.backfills
       (attempt, segment, version, step, target, source, key, end_key, fingerprint, estimated_rows, state)
VALUES (%(attempt)s, %(segment)s, %(version)s, %(step)s, %(target)s, %(source)s, %(key)s, %(end_key)s, %(fingerprint)s,
        %(estimated_rows)s, 'filling');

-- name: add_range
INSERT INTO confiture.backfill_ranges (attempt, segment, number, prefix, after, edge, end_key)
VALUES (%(attempt)s, %(segment)s, %(number)s, %(prefix)s, %(after)s, %(edge)s, %(end_key)s);

-- name: open_ranges
SELECT r.number, r.end_key
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s AND NOT r.is_done
ORDER BY r.number;

-- name: lock_range
-- Also keeps out whatever a killed run left behind: its server process holds this row until its statement ends.
SELECT r.prefix, r.after, r.edge, r.is_done
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s AND r.number = %(number)s
FOR UPDATE;

-- name: move_range
UPDATE confiture.backfill_ranges
SET prefix = %(prefix)s, after = %(after)s, edge = %(edge)s, is_done = %(is_done)s,
    batches = batches + 1, source_rows = source_rows + %(source_rows)s, written_rows = written_rows + %(written_rows)s,
    busy_ms = busy_ms + %(busy_ms)s
WHERE attempt = %(attempt)s AND segment = %(segment)s AND number = %(number)s;

-- name: backfill_totals
SELECT coalesce(sum(r.batches), 0)::bigint AS batches, coalesce(sum(r.source_rows), 0)::bigint AS source_rows,
       coalesce(sum(r.written_rows), 0)::bigint AS written_rows, coalesce(sum(r.busy_ms), 0) AS busy_ms,
       bool_and(r.is_done) AS is_done
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s;

-- name: beat
-- What a running fill tells, and what it is told.
UPDATE confiture.backfills
SET beat_at = clock_timestamp(), waiting_for = %(waiting_for)s, batch_rows = %(batch_rows)s, runner = %(runner)s
WHERE attempt = %(attempt)s AND segment = %(segment)s
RETURNING control;

-- name: end_backfill
UPDATE confiture.backfills
SET state = 'done', waiting_for = NULL, finished_at = clock_timestamp()
WHERE attempt = %(attempt)s AND segment = %(segment)s;
