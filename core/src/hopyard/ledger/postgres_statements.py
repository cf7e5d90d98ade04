"""PostgreSQL's own statements: those of the hot path, by asyncpg's numbered parameters."""

from __future__ import annotations

from typing import Final

from hopyard.ledger.columns import INSERTED, PAUSED, moved
from hopyard.ledger.database import appended
from hopyard.specs import State

JOB_TYPES: Final = {
    "id": "uuid",
    "task": "text",
    "queue": "text",
    "priority": "smallint",
    "body": "text",
    "headers": "text",
    "state": "smallint",
    "eta": "timestamptz",
    "schedule": "text",
    "due": "timestamptz",
    "parent": "uuid",
    "root": "uuid",
    "person": "text",
    "origin": "text",
    "replay_of": "uuid",
    "reason": "text",
    "job_group": "uuid",
    "linked": "boolean",
}
_JOB_ARRAYS: Final = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(JOB_TYPES.values(), 1))
INSERT: Final = f"""
WITH stored AS (
  INSERT INTO job_live ({INSERTED}, created)
  SELECT u.*, now()
    FROM unnest({_JOB_ARRAYS}) AS u({INSERTED})
   WHERE NOT EXISTS (SELECT 1 FROM job_history h WHERE h.id = u.id)
  ON CONFLICT DO NOTHING
  RETURNING id, state),
outbox AS (
  INSERT INTO job_outbox (id, created) SELECT id, now() FROM stored WHERE state = {State.QUEUED:d}
  ON CONFLICT DO NOTHING)
SELECT id, now() FROM stored"""
# Ordinary jobs that nobody can have stored before, with one outbox entry for all: an entry each was a third
# of what they cost. Where all are of one task it is not sent and read a thousand times.
_ENTRY: Final = """
outbox AS (
  INSERT INTO job_outbox (id, created, jobs) VALUES ($6, now(), $1))
SELECT now()"""
_GIVEN: Final = "id, task, queue, priority, body, headers, state, created"
FRESH: Final = f"""
WITH stored AS (
  INSERT INTO job_live ({_GIVEN})
  SELECT u.*, '', {State.QUEUED:d}, now()
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[]) AS u),
{_ENTRY}"""
FRESH_ALIKE: Final = f"""
WITH stored AS (
  INSERT INTO job_live ({_GIVEN})
  SELECT u.id, $2, $3, $4, u.body, '', {State.QUEUED:d}, now()
    FROM unnest($1::uuid[], $5::text[]) AS u(id, body)),
{_ENTRY}"""
FRESH_ONE: Final = f"""
WITH stored AS (
  INSERT INTO job_live ({_GIVEN})
  VALUES ($1, $2, $3, $4, $5, '', {State.QUEUED:d}, now())),
outbox AS (
  INSERT INTO job_outbox (id, created) VALUES ($1, now()))
SELECT now()"""
# Not pair by pair: no other entry was written in the same microsecond, and a join of two lists of a thousand
# that the planner takes for ten costs a million comparisons.
HEARD: Final = """
DELETE FROM job_outbox WHERE id = ANY($1::uuid[]) AND created = ANY($2::timestamptz[])"""
# A job may have ended between the snapshot of `INSERT`, whose look into history found nothing, and the
# moment when its id was free again. This statement's own snapshot shows it.
STORED_AGAIN: Final = """
WITH gone AS (
  DELETE FROM job_live j
   WHERE id = ANY($1::uuid[]) AND EXISTS (SELECT 1 FROM job_history h WHERE h.id = j.id)
  RETURNING id),
outbox AS (
  DELETE FROM job_outbox WHERE id IN (SELECT id FROM gone))
SELECT id FROM gone"""

# `state` stands in no index: the primary key is the only way to the rows, whatever the statistics say.
# The commit does not wait for the disk. Whatever is committed durably later, an outcome, a checkpoint, an
# effect's intent, takes the claim with it, for the log is written in order; what PostgreSQL forgets when it
# crashes is a claim that nothing was written under: its job is queued again, and what it did is refused.
# A worker that was given up claims nothing, before it knows, too. Who gives it up locks its row first: either
# that sees this claim, or this statement waits and takes nothing.
CLAIM: Final = f"""
UPDATE job_live SET state = {State.RUNNING:d}, attempt = attempt + 1, worker = $2, claim = $3,
       started = now(), reason = CASE WHEN cancel THEN reason END
  FROM (SELECT set_config('synchronous_commit', 'off', true)
          FROM worker WHERE id = $2 AND stopped IS NULL FOR KEY SHARE) AS alive
 WHERE id = ANY($1::uuid[]) AND state = {State.QUEUED:d}
   AND queue NOT IN {PAUSED}
RETURNING id, claim, task, queue, body, headers, attempt, crashes, created, parent, root, person, schedule,
       due, cancel, linked, CASE WHEN attempts IS NOT NULL -- nothing ran before, nothing was saved
         THEN (SELECT data FROM job_checkpoint WHERE job_id = job_live.id) END AS checkpoint, priority"""

_KEPT: Final = moved("attempts")
# Places in the arrays instead of a join, as above.
FINISH: Final = f"""
WITH gone AS (
  DELETE FROM job_live j
   WHERE j.id = ANY($1::uuid[])
     AND j.claim = ($2::bigint[])[array_position($1, j.id)] AND j.worker = $7 AND j.state = {State.RUNNING:d}
  RETURNING j.*, array_position($1, j.id) AS n),
ended AS (
  SELECT *, ($3::smallint[])[n] AS final, ($4::text[])[n] AS result, ($5::text[])[n] AS error,
         ($6::text[])[n] AS entry
    FROM gone),
follow AS (INSERT INTO job_follow (id, created) SELECT id, now() FROM gone WHERE linked)
INSERT INTO job_history ({_KEPT}, state, result, error, attempts, finished)
SELECT {_KEPT}, final, result, error,
       CASE WHEN entry IS NULL THEN attempts ELSE {appended("entry")} END, now()
  FROM ended
RETURNING id"""

AGAIN: Final = f"""
UPDATE job_live j SET state = {State.RETRYING:d}, worker = NULL, eta = u.eta, reason = u.reason,
       attempts = {appended("u.entry")}, crashes = j.crashes + u.crashes
  FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::smallint[])
    AS u(id, claim, eta, reason, entry, crashes)
 WHERE j.id = ANY($1::uuid[]) AND j.id = u.id AND j.claim = u.claim AND j.worker = $7
   AND j.state = {State.RUNNING:d}
RETURNING j.id"""


# A process that is frozen between preparing a statement and executing it is not idle to PostgreSQL, and no
# timeout of its own ends that.
EVICT: Final = """
SELECT pg_terminate_backend(pid) AS ended
  FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND application_name = $2
   AND state = 'active' AND wait_event = 'ClientRead'
   AND state_change < now() - $1 * interval '1 second'"""
