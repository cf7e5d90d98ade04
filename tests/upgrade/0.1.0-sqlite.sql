BEGIN TRANSACTION;
CREATE TABLE ai_request (
	id TEXT NOT NULL, 
	person TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	title TEXT NOT NULL, 
	instruction TEXT NOT NULL, 
	rule TEXT, 
	zone TEXT NOT NULL, 
	phrase TEXT NOT NULL, 
	state TEXT NOT NULL, 
	after_id TEXT, 
	answers TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "ai_request" VALUES('01a22431-93c1-7aad-b506-cda6b6871b68','alice','periodic','Tell me the disk usage','Tell me the disk usage','{"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.593236+00:00"}','UTC','every hour','active',NULL,'[]',1795903558594279,1795903558594281);
INSERT INTO "ai_request" VALUES('01a22431-93c3-7211-8178-6f6393c1cfbb','alice','automated','water the plants','water the plants',NULL,'UTC','after “Tell me the disk usage”','active','01a22431-93c1-7aad-b506-cda6b6871b68','[]',1795903558595857,1795903558595858);
CREATE TABLE ai_run (
	id TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	due BIGINT NOT NULL, 
	job_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	postponed INTEGER NOT NULL, 
	decision TEXT, 
	answer TEXT, 
	calls TEXT, 
	pending TEXT, 
	messages TEXT, 
	model TEXT, 
	steps INTEGER, 
	tokens INTEGER, 
	cost FLOAT, 
	started BIGINT NOT NULL, 
	finished BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "ai_run" VALUES('0510d5ee-1e08-59c7-8b74-aa24a606a628','01a22431-93c1-7aad-b506-cda6b6871b68',1795903558596526,'883ec228-7f23-5ecb-b244-81c0159ef3f8','asking',0,NULL,'Which disk?',NULL,NULL,NULL,NULL,NULL,12,0.5,1795903558596639,NULL);
CREATE TABLE command (
	n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind TEXT NOT NULL, 
	target TEXT NOT NULL, 
	data TEXT, 
	created BIGINT NOT NULL
);
CREATE TABLE delivery (
	notification_id TEXT NOT NULL, 
	channel TEXT NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	error TEXT, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (notification_id, channel)
);
CREATE TABLE hopyard_version_ai (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT hopyard_version_ai_pkc PRIMARY KEY (version_num)
);
INSERT INTO "hopyard_version_ai" VALUES('0001');
CREATE TABLE hopyard_version_hopyard (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT hopyard_version_hopyard_pkc PRIMARY KEY (version_num)
);
INSERT INTO "hopyard_version_hopyard" VALUES('0001');
CREATE TABLE hopyard_version_maintenance (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT hopyard_version_maintenance_pkc PRIMARY KEY (version_num)
);
INSERT INTO "hopyard_version_maintenance" VALUES('0001');
CREATE TABLE job_checkpoint (
	job_id TEXT NOT NULL, 
	data TEXT NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (job_id)
);
INSERT INTO "job_checkpoint" VALUES('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc','{"page": 7}',1795903558543084);
CREATE TABLE job_effect (
	job_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	state TEXT NOT NULL, 
	data TEXT, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (job_id, name)
);
INSERT INTO "job_effect" VALUES('2cc8aef9-bf3c-570a-8799-8b28accc5056','mail','done','{"attempt": 1, "fence": [1, 1], "began": "2026-11-28T22:05:58.544389+00:00", "intent": {"to": "alice"}, "outcome": "sent by the old release"}',1795903558545170);
CREATE TABLE job_event (
	n INTEGER NOT NULL, 
	job_id TEXT NOT NULL, 
	state SMALLINT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (n)
);
INSERT INTO "job_event" VALUES(1,'883ec228-7f23-5ecb-b244-81c0159ef3f8',2,1795903558553757);
CREATE TABLE job_follow (
	id TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "job_follow" VALUES('5e28df97-f32e-5236-8625-aba092178494',1795903558545856);
CREATE TABLE job_group (
	id TEXT NOT NULL, 
	remaining INTEGER NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "job_group" VALUES('7727bbac-fc2a-566b-98b2-81968e4dc35e',2,1795903558550352);
CREATE TABLE job_history (
	id TEXT NOT NULL, 
	task TEXT NOT NULL, 
	queue TEXT NOT NULL, 
	priority SMALLINT NOT NULL, 
	state SMALLINT NOT NULL, 
	body TEXT NOT NULL, 
	headers TEXT NOT NULL, 
	attempt INTEGER DEFAULT 0 NOT NULL, 
	crashes SMALLINT DEFAULT 0 NOT NULL, 
	worker BIGINT, 
	claim BIGINT, 
	cancel BOOLEAN DEFAULT false NOT NULL, 
	created BIGINT NOT NULL, 
	eta BIGINT, 
	rung BIGINT, 
	started BIGINT, 
	attempts TEXT, 
	reason TEXT, 
	schedule TEXT, 
	due BIGINT, 
	parent TEXT, 
	root TEXT, 
	person TEXT, 
	job_group TEXT, 
	origin TEXT, 
	replay_of TEXT, 
	linked BOOLEAN DEFAULT false NOT NULL, 
	finished BIGINT NOT NULL, 
	result TEXT, 
	error TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "job_history" VALUES('883ec228-7f23-5ecb-b244-81c0159ef3f8','site.note','site',5,5,'[[], {"what": "succeeded"}, {}]','',1,0,1,1,0,1795903558540912,NULL,NULL,1795903558542044,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1795903558545772,'{"n": 1}',NULL);
INSERT INTO "job_history" VALUES('5e28df97-f32e-5236-8625-aba092178494','site.note','site',5,5,'[[], {"what": "linked"}, {}]','',1,0,1,1,0,1795903558540912,NULL,NULL,1795903558542047,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,1795903558545798,'null',NULL);
INSERT INTO "job_history" VALUES('2140ba32-d86e-5473-99e0-e28c969cc715','site.note','site',5,6,'[[], {"what": "dead"}, {}]','',1,0,1,1,0,1795903558540912,NULL,NULL,1795903558542046,'[{"attempt": 1, "outcome": "failed", "kind": "ValueError", "message": "of old", "worker": 1}]',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1795903558545807,NULL,'{"kind": "ValueError", "message": "of old", "category": "bug", "traceback": "\u2026"}');
INSERT INTO "job_history" VALUES('c1b7e43f-76d8-58c8-b4a2-41ab26c0b8e0','site.note','site',5,7,'[[], {"what": "cancelled"}, {}]','',0,0,NULL,NULL,0,1795903558540912,NULL,NULL,NULL,NULL,'no longer wanted',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1795903558546956,NULL,NULL);
CREATE TABLE job_key (
	"key" TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	until BIGINT, 
	PRIMARY KEY ("key")
);
INSERT INTO "job_key" VALUES('one of it','38ef6d11-f725-5165-9e83-a6971e0d9ee6',NULL);
CREATE TABLE job_live (
	id TEXT NOT NULL, 
	task TEXT NOT NULL, 
	queue TEXT NOT NULL, 
	priority SMALLINT NOT NULL, 
	state SMALLINT NOT NULL, 
	body TEXT NOT NULL, 
	headers TEXT NOT NULL, 
	attempt INTEGER DEFAULT 0 NOT NULL, 
	crashes SMALLINT DEFAULT 0 NOT NULL, 
	worker BIGINT, 
	claim BIGINT, 
	cancel BOOLEAN DEFAULT false NOT NULL, 
	created BIGINT NOT NULL, 
	eta BIGINT, 
	rung BIGINT, 
	started BIGINT, 
	attempts TEXT, 
	reason TEXT, 
	schedule TEXT, 
	due BIGINT, 
	parent TEXT, 
	root TEXT, 
	person TEXT, 
	job_group TEXT, 
	origin TEXT, 
	replay_of TEXT, 
	linked BOOLEAN DEFAULT false NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "job_live" VALUES('0744b839-6aca-569f-b43f-a8e37be42661','site.note','site',9,1,'[[], {"what": "queued"}, {}]','',0,0,NULL,NULL,0,1795903558540912,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'alice',NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('990e7cf4-faaf-51f6-b999-c95bba16b9b4','site.note','site',5,0,'[[], {"what": "delayed"}, {}]','',0,0,NULL,NULL,0,1795903558540912,1795903559540647,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('dd098e47-3e90-5c77-9fa8-e85a3fa69f17','site.note','site',5,0,'[[], {"what": "far"}, {}]','',0,0,NULL,NULL,0,1795903558540912,2111263558540676,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('b369ec53-f8d3-53f2-a087-33e83d377955','nobody.knows','nobody',5,4,'[[], {"what": "parked"}, {}]','',0,0,NULL,NULL,0,1795903558540912,NULL,NULL,NULL,NULL,'nobody knows it',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc','site.note','site',5,2,'[[], {"what": "running"}, {}]','',1,0,1,1,0,1795903558540912,NULL,NULL,1795903558542024,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('5aa345f5-d2d3-5cf9-9638-a9a5a10e452e','site.note','site',5,3,'[[], {"what": "retrying"}, {}]','',1,0,NULL,1,0,1795903558540912,1795903559542227,NULL,1795903558542038,'[{"attempt": 1, "outcome": "failed", "kind": "ValueError", "message": "of old", "worker": 1}]','it failed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('2cc8aef9-bf3c-570a-8799-8b28accc5056','site.note','site',5,2,'[[], {"what": "effect"}, {}]','',1,0,1,1,0,1795903558540912,NULL,NULL,1795903558542041,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('4402a588-4346-5114-a57d-7d7963d59f74','site.note','site',5,1,'[[], {"what": "child"}, {}]','',0,0,NULL,NULL,0,1795903558540912,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'883ec228-7f23-5ecb-b244-81c0159ef3f8','883ec228-7f23-5ecb-b244-81c0159ef3f8',NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('38ef6d11-f725-5165-9e83-a6971e0d9ee6','site.note','site',5,1,'[[], {"what": "unique"}, {}]','',0,0,NULL,NULL,0,1795903558549672,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "job_live" VALUES('32e6e60a-806f-530d-afad-506b9acb2e31','site.note','site',5,1,'[[], {"what": "part"}, {}]','',0,0,NULL,NULL,0,1795903558550432,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'7727bbac-fc2a-566b-98b2-81968e4dc35e',NULL,NULL,0);
CREATE TABLE job_outbox (
	id TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	jobs TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "job_outbox" VALUES('0744b839-6aca-569f-b43f-a8e37be42661',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('5aa345f5-d2d3-5cf9-9638-a9a5a10e452e',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('2cc8aef9-bf3c-570a-8799-8b28accc5056',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('883ec228-7f23-5ecb-b244-81c0159ef3f8',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('2140ba32-d86e-5473-99e0-e28c969cc715',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('c1b7e43f-76d8-58c8-b4a2-41ab26c0b8e0',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('5e28df97-f32e-5236-8625-aba092178494',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('4402a588-4346-5114-a57d-7d7963d59f74',1795903558540912,NULL);
INSERT INTO "job_outbox" VALUES('38ef6d11-f725-5165-9e83-a6971e0d9ee6',1795903558549672,NULL);
CREATE TABLE job_part (
	group_id TEXT NOT NULL, 
	member TEXT NOT NULL, 
	n INTEGER NOT NULL, 
	result TEXT NOT NULL, 
	PRIMARY KEY (group_id, member)
);
INSERT INTO "job_part" VALUES('7727bbac-fc2a-566b-98b2-81968e4dc35e','883ec228-7f23-5ecb-b244-81c0159ef3f8',0,'1');
CREATE TABLE job_progress (
	job_id TEXT NOT NULL, 
	current FLOAT NOT NULL, 
	total FLOAT, 
	message TEXT NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (job_id)
);
INSERT INTO "job_progress" VALUES('b1bd2403-31ad-59cc-a7ba-0ee60a5ee2dc',7.0,10.0,'page 7',1795903558543494);
CREATE TABLE leader (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	term BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "leader" VALUES('schedule','old:1:abcdef',1,655609619);
INSERT INTO "leader" VALUES('reconcile','old:2:abcdef',1,655610787);
CREATE TABLE ledger_identity (
	id TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "ledger_identity" VALUES('01a22431-9348-7613-b235-0706e5fbb89e');
CREATE TABLE maintenance_sample (
	at BIGINT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (at)
);
CREATE TABLE maintenance_state (
	name TEXT NOT NULL, 
	ok BOOLEAN NOT NULL, 
	detail TEXT NOT NULL, 
	changed BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE notification (
	id TEXT NOT NULL, 
	person TEXT NOT NULL, 
	title TEXT NOT NULL, 
	body TEXT NOT NULL, 
	data TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "notification" VALUES('01a22431-93c0-713c-9d92-b04f3130a062','alice','An old word','from the release before','{"n": 1}',1795903558592435);
CREATE TABLE queue_state (
	queue TEXT NOT NULL, 
	paused BIGINT, 
	paused_by TEXT, 
	PRIMARY KEY (queue)
);
INSERT INTO "queue_state" VALUES('paused',1795903558552684,'alice');
CREATE TABLE schedule (
	name TEXT NOT NULL, 
	source TEXT NOT NULL, 
	task TEXT NOT NULL, 
	declared TEXT, 
	edited TEXT, 
	rule TEXT NOT NULL, 
	follows TEXT, 
	kwargs TEXT NOT NULL, 
	misfire TEXT NOT NULL, 
	overlap TEXT NOT NULL, 
	catch_up FLOAT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	person TEXT, 
	next_due BIGINT, 
	last_due BIGINT, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "schedule" VALUES('minutely','user','site.note',NULL,'{"name": "minutely", "task": "site.note", "rule": {"every": 60, "zone": "UTC"}, "kwargs": {"what": "minutely"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}','{"every": 60, "zone": "UTC"}',NULL,'{"what": "minutely"}','latest','allow',86400.0,1,'alice',1795903560000000,NULL,1795903558553328);
INSERT INTO "schedule" VALUES('after','user','site.note',NULL,'{"name": "after", "task": "site.note", "rule": {"after": "minutely", "zone": "UTC"}, "kwargs": {"what": "after"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}','{"after": "minutely", "zone": "UTC"}','minutely','{"what": "after"}','latest','allow',86400.0,1,'alice',NULL,NULL,1795903558553509);
INSERT INTO "schedule" VALUES('ai.request.01a22431-93c1-7aad-b506-cda6b6871b68','user','ai.act',NULL,'{"name": "ai.request.01a22431-93c1-7aad-b506-cda6b6871b68", "task": "ai.act", "rule": {"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.593236+00:00"}, "kwargs": {"request": "01a22431-93c1-7aad-b506-cda6b6871b68"}, "misfire": "latest", "overlap": "allow", "catch_up": 86400.0, "enabled": true}','{"every": 3600.0, "zone": "UTC", "anchor": "2026-11-28T22:05:58.593236+00:00"}',NULL,'{"request": "01a22431-93c1-7aad-b506-cda6b6871b68"}','latest','allow',86400.0,1,'alice',1795907158593236,NULL,1795903558594471);
CREATE TABLE schedule_fire (
	schedule TEXT NOT NULL, 
	due BIGINT NOT NULL, 
	job_id TEXT, 
	fired BIGINT NOT NULL, 
	PRIMARY KEY (schedule, due)
);
INSERT INTO "schedule_fire" VALUES('minutely',1795899958553568,'883ec228-7f23-5ecb-b244-81c0159ef3f8',1795903558553648);
CREATE TABLE worker (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	queues TEXT NOT NULL, 
	plugins TEXT NOT NULL, 
	started BIGINT NOT NULL, 
	beat BIGINT NOT NULL, 
	lease FLOAT NOT NULL, 
	stopped BIGINT
);
INSERT INTO "worker" VALUES(1,'old@gone','host',13281,'worker','["site"]','{}',1795903558539579,647598116,15.0,NULL);
CREATE INDEX job_live_eta ON job_live (eta) WHERE eta IS NOT NULL;
CREATE INDEX job_live_queue ON job_live (queue, id) WHERE queue > '';
CREATE INDEX job_history_finished ON job_history (finished);
CREATE INDEX schedule_due ON schedule (next_due) WHERE next_due IS NOT NULL;
CREATE INDEX schedule_follows ON schedule (follows) WHERE follows IS NOT NULL;
CREATE INDEX notification_person ON notification (person, created);
CREATE VIEW active_task_progress AS
SELECT j.id AS task_id, j.task, j.queue, CASE j.state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'queued' WHEN 2 THEN 'running' WHEN 3 THEN 'retrying' WHEN 4 THEN 'parked' WHEN 5 THEN 'succeeded' WHEN 6 THEN 'dead' WHEN 7 THEN 'cancelled' END AS state, j.attempt, j.worker,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.created / 1000000.0, 'unixepoch') AS created_at, strftime('%Y-%m-%dT%H:%M:%fZ', j.started / 1000000.0, 'unixepoch') AS started_at,
       p.current, p.total, CASE WHEN p.total > 0 THEN 100.0 * p.current / p.total END AS percentage,
       p.message, strftime('%Y-%m-%dT%H:%M:%fZ', p.updated / 1000000.0, 'unixepoch') AS updated_at
  FROM job_live j LEFT JOIN job_progress p ON p.job_id = j.id;
CREATE VIEW task_performance_overview AS
SELECT task, count(*) AS jobs, sum(CASE WHEN state = 5 THEN 1 ELSE 0 END) AS succeeded, sum(CASE WHEN state = 6 THEN 1 ELSE 0 END) AS dead,
       sum(CASE WHEN state = 7 THEN 1 ELSE 0 END) AS cancelled,
       1.0 * sum(CASE WHEN state = 5 THEN 1 ELSE 0 END) / count(*) AS success_rate,
       avg(CASE WHEN attempt > 1 THEN attempt - 1 ELSE 0 END) AS average_retries,
       avg((finished - started) / 1000000.0) AS average_seconds, max((finished - started) / 1000000.0) AS longest_seconds, strftime('%Y-%m-%dT%H:%M:%fZ', max(finished) / 1000000.0, 'unixepoch') AS last_finished_at
  FROM job_history GROUP BY task;
CREATE INDEX ai_request_person ON ai_request (person, id);
CREATE INDEX ai_request_after ON ai_request (after_id);
CREATE INDEX ai_run_request ON ai_run (request_id, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('worker',1);
COMMIT;
