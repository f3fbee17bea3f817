-- What version 0.1.0 (commit af28833) left in SQLite, with rows of each kind; made by its own code.
BEGIN TRANSACTION;
CREATE TABLE invitations (
	token_digest VARCHAR(64) NOT NULL,
	participant VARCHAR(63) NOT NULL,
	expires_at DATETIME NOT NULL,
	used_at DATETIME,
	PRIMARY KEY (token_digest)
);
INSERT INTO "invitations" VALUES('0000000000000000000000000000000000000000000000000000000000000000','hospital-east','2026-11-22 12:00:00.000000',NULL);
CREATE TABLE job_events (
	sequence INTEGER NOT NULL,
	job_id VARCHAR(120) NOT NULL,
	time DATETIME NOT NULL,
	kind VARCHAR(40) NOT NULL,
	body JSON NOT NULL,
	PRIMARY KEY (sequence),
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "job_events" VALUES(1,'job-1','2026-11-22 12:00:00.000000','accepted','{"hospital": "hospital-north"}');
INSERT INTO "job_events" VALUES(2,'job-1','2026-11-22 12:00:01.000000','ended','{"state": "finished"}');
CREATE TABLE jobs (
	id VARCHAR(120) NOT NULL,
	digest VARCHAR(80) NOT NULL,
	permit_id VARCHAR(120) NOT NULL,
	specification TEXT NOT NULL,
	state VARCHAR(20) NOT NULL,
	reason VARCHAR(120) NOT NULL,
	submitted_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (digest),
	FOREIGN KEY(permit_id) REFERENCES permits (id)
);
INSERT INTO "jobs" VALUES('job-1','sha256:bb','permit-1','{}','finished','','2026-11-22 12:00:00.000000');
CREATE TABLE participants (
	name VARCHAR(63) NOT NULL,
	signing_key TEXT NOT NULL,
	fleet_key TEXT NOT NULL,
	enrolled_at DATETIME NOT NULL,
	not_after DATETIME NOT NULL,
	last_seen DATETIME,
	offers JSON NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "participants" VALUES('hospital-north','hospital-north+1','AAAA','2026-11-22 12:00:00.000000','2026-12-22 12:00:00.000000','2026-11-22 13:00:00.000000','[{"dataset": "hospital-north/patients", "title": "P\u00e5tients"}]');
INSERT INTO "participants" VALUES('hospital-east','hospital-east+1','BBBB','2026-11-22 12:00:00.000000','2026-12-22 12:00:00.000000',NULL,'[]');
CREATE TABLE permits (
	id VARCHAR(120) NOT NULL,
	digest VARCHAR(80) NOT NULL,
	document TEXT NOT NULL,
	issued_at DATETIME NOT NULL,
	logged BOOLEAN NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (digest)
);
INSERT INTO "permits" VALUES('permit-1','sha256:aa','{}','2026-11-22 12:00:00.000000',1);
CREATE TABLE releases (
	job_id VARCHAR(120) NOT NULL,
	job_digest VARCHAR(80) NOT NULL,
	state VARCHAR(20) NOT NULL,
	subject_digest VARCHAR(80) NOT NULL,
	label TEXT NOT NULL,
	reviewer VARCHAR(120) NOT NULL,
	logged BOOLEAN NOT NULL,
	made_at DATETIME NOT NULL,
	PRIMARY KEY (job_id),
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "releases" VALUES('job-1','sha256:bb','held','sha256:cc','{}','',1,'2026-11-22 12:00:00.000000');
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_job_events_job_id ON job_events (job_id);
COMMIT;
