SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.job_live (
    id uuid NOT NULL,
    task text NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    state smallint NOT NULL,
    body text NOT NULL,
    headers text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    worker bigint,
    claim bigint,
    cancel boolean DEFAULT false NOT NULL,
    created timestamp with time zone NOT NULL,
    eta timestamp with time zone,
    rung timestamp with time zone,
    started timestamp with time zone,
    attempts text,
    reason text,
    schedule text,
    due timestamp with time zone,
    parent uuid,
    root uuid,
    person text,
    job_group uuid,
    origin text,
    replay_of uuid,
    linked boolean DEFAULT false NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='20000');
CREATE TABLE public.job_progress (
    job_id uuid NOT NULL,
    current double precision NOT NULL,
    total double precision,
    message text NOT NULL,
    updated timestamp with time zone NOT NULL
);
CREATE VIEW public.active_task_progress AS
 SELECT j.id AS task_id,
    j.task,
    j.queue,
        CASE j.state
            WHEN 0 THEN 'scheduled'::text
            WHEN 1 THEN 'queued'::text
            WHEN 2 THEN 'running'::text
            WHEN 3 THEN 'retrying'::text
            WHEN 4 THEN 'parked'::text
            WHEN 5 THEN 'succeeded'::text
            WHEN 6 THEN 'dead'::text
            WHEN 7 THEN 'cancelled'::text
            ELSE NULL::text
        END AS state,
    j.attempt,
    j.worker,
    j.created AS created_at,
    j.started AS started_at,
    p.current,
    p.total,
        CASE
            WHEN (p.total > (0)::double precision) THEN (((100.0)::double precision * p.current) / p.total)
            ELSE NULL::double precision
        END AS percentage,
    p.message,
    p.updated AS updated_at
   FROM (public.job_live j
     LEFT JOIN public.job_progress p ON ((p.job_id = j.id)));
CREATE TABLE public.ai_request (
    id uuid NOT NULL,
    person text NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    instruction text NOT NULL,
    rule text,
    zone text NOT NULL,
    phrase text NOT NULL,
    state text NOT NULL,
    after_id uuid,
    answers text NOT NULL,
    created timestamp with time zone NOT NULL,
    updated timestamp with time zone NOT NULL
);
CREATE TABLE public.ai_run (
    id uuid NOT NULL,
    request_id uuid NOT NULL,
    due timestamp with time zone NOT NULL,
    job_id uuid NOT NULL,
    state text NOT NULL,
    postponed integer NOT NULL,
    decision text,
    answer text,
    calls text,
    pending text,
    messages text,
    model text,
    steps integer,
    tokens integer,
    cost double precision,
    started timestamp with time zone NOT NULL,
    finished timestamp with time zone
);
CREATE TABLE public.command (
    n bigint NOT NULL,
    kind text NOT NULL,
    target text NOT NULL,
    data text,
    created timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.command_n_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.command_n_seq OWNED BY public.command.n;
CREATE TABLE public.delivery (
    notification_id uuid NOT NULL,
    channel text NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    error text,
    updated timestamp with time zone NOT NULL
);
CREATE TABLE public.hopyard_version_ai (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.hopyard_version_hopyard (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.hopyard_version_maintenance (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.job_checkpoint (
    job_id uuid NOT NULL,
    data text NOT NULL,
    updated timestamp with time zone NOT NULL
);
CREATE TABLE public.job_effect (
    job_id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    data text,
    updated timestamp with time zone NOT NULL
);
CREATE TABLE public.job_event (
    n bigint NOT NULL,
    job_id uuid NOT NULL,
    state smallint NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.job_event_n_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.job_event_n_seq OWNED BY public.job_event.n;
CREATE TABLE public.job_follow (
    id uuid NOT NULL,
    created timestamp with time zone NOT NULL
);
CREATE TABLE public.job_group (
    id uuid NOT NULL,
    remaining integer NOT NULL,
    created timestamp with time zone NOT NULL
);
CREATE TABLE public.job_history (
    id uuid NOT NULL,
    task text NOT NULL,
    queue text NOT NULL,
    priority smallint NOT NULL,
    state smallint NOT NULL,
    body text NOT NULL,
    headers text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    worker bigint,
    claim bigint,
    cancel boolean DEFAULT false NOT NULL,
    created timestamp with time zone NOT NULL,
    eta timestamp with time zone,
    rung timestamp with time zone,
    started timestamp with time zone,
    attempts text,
    reason text,
    schedule text,
    due timestamp with time zone,
    parent uuid,
    root uuid,
    person text,
    job_group uuid,
    origin text,
    replay_of uuid,
    linked boolean DEFAULT false NOT NULL,
    finished timestamp with time zone NOT NULL,
    result text,
    error text
);
CREATE TABLE public.job_key (
    key text NOT NULL,
    job_id uuid NOT NULL,
    until timestamp with time zone
);
CREATE TABLE public.job_outbox (
    id uuid NOT NULL,
    created timestamp with time zone NOT NULL,
    jobs uuid[]
);
CREATE TABLE public.job_part (
    group_id uuid NOT NULL,
    member uuid NOT NULL,
    n integer NOT NULL,
    result text NOT NULL
);
CREATE TABLE public.leader (
    name text NOT NULL,
    holder text NOT NULL,
    term bigint NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE public.ledger_identity (
    id uuid NOT NULL
);
CREATE TABLE public.maintenance_sample (
    at timestamp with time zone NOT NULL,
    data text NOT NULL
);
CREATE TABLE public.maintenance_state (
    name text NOT NULL,
    ok boolean NOT NULL,
    detail text NOT NULL,
    changed timestamp with time zone NOT NULL
);
CREATE TABLE public.notification (
    id uuid NOT NULL,
    person text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    data text NOT NULL,
    created timestamp with time zone NOT NULL
);
CREATE TABLE public.queue_state (
    queue text NOT NULL,
    paused timestamp with time zone,
    paused_by text
);
CREATE TABLE public.schedule (
    name text NOT NULL,
    source text NOT NULL,
    task text NOT NULL,
    declared text,
    edited text,
    rule text NOT NULL,
    follows text,
    kwargs text NOT NULL,
    misfire text NOT NULL,
    overlap text NOT NULL,
    catch_up double precision NOT NULL,
    enabled boolean NOT NULL,
    person text,
    next_due timestamp with time zone,
    last_due timestamp with time zone,
    updated timestamp with time zone NOT NULL
);
CREATE TABLE public.schedule_fire (
    schedule text NOT NULL,
    due timestamp with time zone NOT NULL,
    job_id uuid,
    fired timestamp with time zone NOT NULL
);
CREATE VIEW public.task_performance_overview AS
 SELECT job_history.task,
    count(*) AS jobs,
    sum(
        CASE
            WHEN (job_history.state = 5) THEN 1
            ELSE 0
        END) AS succeeded,
    sum(
        CASE
            WHEN (job_history.state = 6) THEN 1
            ELSE 0
        END) AS dead,
    sum(
        CASE
            WHEN (job_history.state = 7) THEN 1
            ELSE 0
        END) AS cancelled,
    ((1.0 * (sum(
        CASE
            WHEN (job_history.state = 5) THEN 1
            ELSE 0
        END))::numeric) / (count(*))::numeric) AS success_rate,
    avg(
        CASE
            WHEN (job_history.attempt > 1) THEN (job_history.attempt - 1)
            ELSE 0
        END) AS average_retries,
    avg((EXTRACT(epoch FROM (job_history.finished - job_history.started)))::double precision) AS average_seconds,
    max((EXTRACT(epoch FROM (job_history.finished - job_history.started)))::double precision) AS longest_seconds,
    max(job_history.finished) AS last_finished_at
   FROM public.job_history
  GROUP BY job_history.task;
CREATE TABLE public.worker (
    id bigint NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    role text NOT NULL,
    queues text NOT NULL,
    plugins text NOT NULL,
    started timestamp with time zone NOT NULL,
    beat timestamp with time zone NOT NULL,
    lease double precision NOT NULL,
    stopped timestamp with time zone
);
CREATE SEQUENCE public.worker_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.worker_id_seq OWNED BY public.worker.id;
ALTER TABLE ONLY public.command ALTER COLUMN n SET DEFAULT nextval('public.command_n_seq'::regclass);
ALTER TABLE ONLY public.job_event ALTER COLUMN n SET DEFAULT nextval('public.job_event_n_seq'::regclass);
ALTER TABLE ONLY public.worker ALTER COLUMN id SET DEFAULT nextval('public.worker_id_seq'::regclass);
INSERT INTO public.ai_request VALUES ('01a22431-9552-76b7-a707-528518fa2234', 'alice', 'periodic', 'Tell me the disk usage', 'Tell me the disk usage', '{"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.994447+00:00"}', 'UTC', 'every hour', 'active', NULL, '[]', '2026-11-28 22:05:58.995053+00', '2026-11-28 22:05:58.995053+00');
INSERT INTO public.ai_request VALUES ('01a22431-9555-7576-b3c7-fe5d9d7e5e8c', 'alice', 'automated', 'water the plants', 'water the plants', NULL, 'UTC', 'after “Tell me the disk usage”', 'active', '01a22431-9552-76b7-a707-528518fa2234', '[]', '2026-11-28 22:05:58.997912+00', '2026-11-28 22:05:58.997912+00');
INSERT INTO public.ai_run VALUES ('0510d5ee-1e08-59c7-8b74-aa24a606a628', '01a22431-9552-76b7-a707-528518fa2234', '2026-11-28 22:05:58.998828+00', '883ec228-7f23-5ecb-b244-81c0159ef3f8', 'asking', 0, NULL, 'Which disk?', NULL, NULL, NULL, NULL, NULL, 12, 0.5, '2026-11-28 22:05:58.998924+00', NULL);
INSERT INTO public.hopyard_version_ai VALUES ('0001');
INSERT INTO public.hopyard_version_hopyard VALUES ('0001');
INSERT INTO public.hopyard_version_maintenance VALUES ('0001');
INSERT INTO public.job_checkpoint VALUES ('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc', '{"page": 7}', '2026-11-28 22:05:58.952995+00');
INSERT INTO public.job_effect VALUES ('2cc8aef9-bf3c-570a-8799-8b28accc5056', 'mail', 'done', '{"attempt": 1, "fence": [1, 1], "began": "2026-11-28T22:05:58.956698+00:00", "intent": {"to": "alice"}, "outcome": "sent by the old release"}', '2026-11-28 22:05:58.957624+00');
INSERT INTO public.job_event VALUES (1, '883ec228-7f23-5ecb-b244-81c0159ef3f8', 2, '2026-11-28 22:05:58.977516+00');
INSERT INTO public.job_follow VALUES ('5e28df97-f32e-5236-8625-aba092178494', '2026-11-28 22:05:58.959023+00');
INSERT INTO public.job_group VALUES ('7727bbac-fc2a-566b-98b2-81968e4dc35e', 2, '2026-11-28 22:05:58.965762+00');
INSERT INTO public.job_history VALUES ('883ec228-7f23-5ecb-b244-81c0159ef3f8', 'site.note', 'site', 5, 5, '[[], {"what": "succeeded"}, {}]', '', 1, 0, 1, 1, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, '2026-11-28 22:05:58.945949+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, '2026-11-28 22:05:58.959023+00', '{"n": 1}', NULL);
INSERT INTO public.job_history VALUES ('2140ba32-d86e-5473-99e0-e28c969cc715', 'site.note', 'site', 5, 6, '[[], {"what": "dead"}, {}]', '', 1, 0, 1, 1, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, '2026-11-28 22:05:58.945949+00', '[{"attempt": 1, "outcome": "failed", "kind": "ValueError", "message": "of old", "worker": 1}]', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, '2026-11-28 22:05:58.959023+00', NULL, '{"kind": "ValueError", "message": "of old", "category": "bug", "traceback": "\u2026"}');
INSERT INTO public.job_history VALUES ('5e28df97-f32e-5236-8625-aba092178494', 'site.note', 'site', 5, 5, '[[], {"what": "linked"}, {}]', '', 1, 0, 1, 1, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, '2026-11-28 22:05:58.945949+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, '2026-11-28 22:05:58.959023+00', 'null', NULL);
INSERT INTO public.job_history VALUES ('c1b7e43f-76d8-58c8-b4a2-41ab26c0b8e0', 'site.note', 'site', 5, 7, '[[], {"what": "cancelled"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, NULL, NULL, 'no longer wanted', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, '2026-11-28 22:05:58.96047+00', NULL, NULL);
INSERT INTO public.job_key VALUES ('one of it', '38ef6d11-f725-5165-9e83-a6971e0d9ee6', NULL);
INSERT INTO public.job_live VALUES ('0744b839-6aca-569f-b43f-a8e37be42661', 'site.note', 'site', 9, 1, '[[], {"what": "queued"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'alice', NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('990e7cf4-faaf-51f6-b999-c95bba16b9b4', 'site.note', 'site', 5, 0, '[[], {"what": "delayed"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', '2026-11-28 22:05:59.930233+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('dd098e47-3e90-5c77-9fa8-e85a3fa69f17', 'site.note', 'site', 5, 0, '[[], {"what": "far"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', '2036-11-25 22:05:58.930258+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('b369ec53-f8d3-53f2-a087-33e83d377955', 'nobody.knows', 'nobody', 5, 4, '[[], {"what": "parked"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, NULL, NULL, 'nobody knows it', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('4402a588-4346-5114-a57d-7d7963d59f74', 'site.note', 'site', 5, 1, '[[], {"what": "child"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '883ec228-7f23-5ecb-b244-81c0159ef3f8', '883ec228-7f23-5ecb-b244-81c0159ef3f8', NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc', 'site.note', 'site', 5, 2, '[[], {"what": "running"}, {}]', '', 1, 0, 1, 1, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, '2026-11-28 22:05:58.945949+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('2cc8aef9-bf3c-570a-8799-8b28accc5056', 'site.note', 'site', 5, 2, '[[], {"what": "effect"}, {}]', '', 1, 0, 1, 1, false, '2026-11-28 22:05:58.930628+00', NULL, NULL, '2026-11-28 22:05:58.945949+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('5aa345f5-d2d3-5cf9-9638-a9a5a10e452e', 'site.note', 'site', 5, 3, '[[], {"what": "retrying"}, {}]', '', 1, 0, NULL, 1, false, '2026-11-28 22:05:58.930628+00', '2026-11-28 22:05:59.946899+00', NULL, '2026-11-28 22:05:58.945949+00', '[{"attempt": 1, "outcome": "failed", "kind": "ValueError", "message": "of old", "worker": 1}]', 'it failed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('38ef6d11-f725-5165-9e83-a6971e0d9ee6', 'site.note', 'site', 5, 1, '[[], {"what": "unique"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.963607+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO public.job_live VALUES ('32e6e60a-806f-530d-afad-506b9acb2e31', 'site.note', 'site', 5, 1, '[[], {"what": "part"}, {}]', '', 0, 0, NULL, NULL, false, '2026-11-28 22:05:58.965762+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '7727bbac-fc2a-566b-98b2-81968e4dc35e', NULL, NULL, false);
INSERT INTO public.job_outbox VALUES ('0744b839-6aca-569f-b43f-a8e37be42661', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('5aa345f5-d2d3-5cf9-9638-a9a5a10e452e', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('2cc8aef9-bf3c-570a-8799-8b28accc5056', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('883ec228-7f23-5ecb-b244-81c0159ef3f8', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('2140ba32-d86e-5473-99e0-e28c969cc715', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('c1b7e43f-76d8-58c8-b4a2-41ab26c0b8e0', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('5e28df97-f32e-5236-8625-aba092178494', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('4402a588-4346-5114-a57d-7d7963d59f74', '2026-11-28 22:05:58.930628+00', NULL);
INSERT INTO public.job_outbox VALUES ('38ef6d11-f725-5165-9e83-a6971e0d9ee6', '2026-11-28 22:05:58.963607+00', NULL);
INSERT INTO public.job_part VALUES ('7727bbac-fc2a-566b-98b2-81968e4dc35e', '883ec228-7f23-5ecb-b244-81c0159ef3f8', 0, '1');
INSERT INTO public.job_progress VALUES ('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc', 7, 10, 'page 7', '2026-11-28 22:05:58.954501+00');
INSERT INTO public.leader VALUES ('schedule', 'old:1:abcdef', 1, '2026-11-28 22:06:06.974174+00');
INSERT INTO public.leader VALUES ('reconcile', 'old:2:abcdef', 1, '2026-11-28 22:06:06.975719+00');
INSERT INTO public.ledger_identity VALUES ('01a22431-94d2-7da3-9a10-6057fda6f127');
INSERT INTO public.notification VALUES ('01a22431-954a-71c9-967c-d4126ca21921', 'alice', 'An old word', 'from the release before', '{"n": 1}', '2026-11-28 22:05:58.986903+00');
INSERT INTO public.queue_state VALUES ('paused', '2026-11-28 22:05:58.976656+00', 'alice');
INSERT INTO public.schedule VALUES ('minutely', 'user', 'site.note', NULL, '{"name": "minutely", "task": "site.note", "rule": {"every": 60, "zone": "UTC"}, "kwargs": {"what": "minutely"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}', '{"every": 60, "zone": "UTC"}', NULL, '{"what": "minutely"}', 'latest', 'allow', 86400, true, 'alice', '2026-11-28 22:06:00+00', NULL, '2026-11-28 22:05:58.977516+00');
INSERT INTO public.schedule VALUES ('after', 'user', 'site.note', NULL, '{"name": "after", "task": "site.note", "rule": {"after": "minutely", "zone": "UTC"}, "kwargs": {"what": "after"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}', '{"after": "minutely", "zone": "UTC"}', 'minutely', '{"what": "after"}', 'latest', 'allow', 86400, true, 'alice', NULL, NULL, '2026-11-28 22:05:58.977516+00');
INSERT INTO public.schedule VALUES ('ai.request.01a22431-9552-76b7-a707-528518fa2234', 'user', 'ai.act', NULL, '{"name": "ai.request.01a22431-9552-76b7-a707-528518fa2234", "task": "ai.act", "rule": {"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.994447+00:00"}, "kwargs": {"request": "01a22431-9552-76b7-a707-528518fa2234"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}', '{"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.994447+00:00"}', NULL, '{"request": "01a22431-9552-76b7-a707-528518fa2234"}', 'latest', 'allow', 86400, true, 'alice', '2026-11-28 23:05:58.994447+00', NULL, '2026-11-28 22:05:58.995053+00');
INSERT INTO public.schedule_fire VALUES ('minutely', '2026-11-28 21:05:58.981768+00', '883ec228-7f23-5ecb-b244-81c0159ef3f8', '2026-11-28 22:05:58.977516+00');
INSERT INTO public.worker VALUES (1, 'old@gone', 'host', 13281, 'worker', '["site"]', '{}', '2026-11-28 22:05:58.928292+00', '2026-11-28 22:05:58.929093+00', 15, NULL);
SELECT pg_catalog.setval('public.command_n_seq', 1, false);
SELECT pg_catalog.setval('public.job_event_n_seq', 1, true);
SELECT pg_catalog.setval('public.worker_id_seq', 1, true);
ALTER TABLE ONLY public.ai_request
    ADD CONSTRAINT ai_request_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ai_run
    ADD CONSTRAINT ai_run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.command
    ADD CONSTRAINT command_pkey PRIMARY KEY (n);
ALTER TABLE ONLY public.delivery
    ADD CONSTRAINT delivery_pkey PRIMARY KEY (notification_id, channel);
ALTER TABLE ONLY public.hopyard_version_ai
    ADD CONSTRAINT hopyard_version_ai_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.hopyard_version_hopyard
    ADD CONSTRAINT hopyard_version_hopyard_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.hopyard_version_maintenance
    ADD CONSTRAINT hopyard_version_maintenance_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.job_checkpoint
    ADD CONSTRAINT job_checkpoint_pkey PRIMARY KEY (job_id);
ALTER TABLE ONLY public.job_effect
    ADD CONSTRAINT job_effect_pkey PRIMARY KEY (job_id, name);
ALTER TABLE ONLY public.job_event
    ADD CONSTRAINT job_event_pkey PRIMARY KEY (n);
ALTER TABLE ONLY public.job_follow
    ADD CONSTRAINT job_follow_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_group
    ADD CONSTRAINT job_group_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_history
    ADD CONSTRAINT job_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_key
    ADD CONSTRAINT job_key_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.job_live
    ADD CONSTRAINT job_live_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_outbox
    ADD CONSTRAINT job_outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_part
    ADD CONSTRAINT job_part_pkey PRIMARY KEY (group_id, member);
ALTER TABLE ONLY public.job_progress
    ADD CONSTRAINT job_progress_pkey PRIMARY KEY (job_id);
ALTER TABLE ONLY public.leader
    ADD CONSTRAINT leader_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.ledger_identity
    ADD CONSTRAINT ledger_identity_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.maintenance_sample
    ADD CONSTRAINT maintenance_sample_pkey PRIMARY KEY (at);
ALTER TABLE ONLY public.maintenance_state
    ADD CONSTRAINT maintenance_state_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.queue_state
    ADD CONSTRAINT queue_state_pkey PRIMARY KEY (queue);
ALTER TABLE ONLY public.schedule_fire
    ADD CONSTRAINT schedule_fire_pkey PRIMARY KEY (schedule, due);
ALTER TABLE ONLY public.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);
CREATE INDEX ai_request_after ON public.ai_request USING btree (after_id);
CREATE INDEX ai_request_person ON public.ai_request USING btree (person, id);
CREATE INDEX ai_run_request ON public.ai_run USING btree (request_id, id);
CREATE INDEX job_history_finished ON public.job_history USING btree (finished);
CREATE INDEX job_live_eta ON public.job_live USING btree (eta) WHERE (eta IS NOT NULL);
CREATE INDEX job_live_queue ON public.job_live USING btree (queue, id) WHERE (queue > ''::text);
CREATE INDEX notification_person ON public.notification USING btree (person, created);
CREATE INDEX schedule_due ON public.schedule USING btree (next_due) WHERE (next_due IS NOT NULL);
CREATE INDEX schedule_follows ON public.schedule USING btree (follows) WHERE (follows IS NOT NULL);
