-- What version 0.1.0 (commit af28833) left in PostgreSQL, with rows of each kind; made by its own code.
CREATE TABLE invitations (
    token_digest character varying(64) NOT NULL,
    participant character varying(63) NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);
CREATE TABLE job_events (
    sequence integer NOT NULL,
    job_id character varying(120) NOT NULL,
    "time" timestamp with time zone NOT NULL,
    kind character varying(40) NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE job_events_sequence_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE job_events_sequence_seq OWNED BY job_events.sequence;
CREATE TABLE jobs (
    id character varying(120) NOT NULL,
    digest character varying(80) NOT NULL,
    permit_id character varying(120) NOT NULL,
    specification text NOT NULL,
    state character varying(20) NOT NULL,
    reason character varying(120) NOT NULL,
    submitted_at timestamp with time zone NOT NULL
);
CREATE TABLE participants (
    name character varying(63) NOT NULL,
    signing_key text NOT NULL,
    fleet_key text NOT NULL,
    enrolled_at timestamp with time zone NOT NULL,
    not_after timestamp with time zone NOT NULL,
    last_seen timestamp with time zone,
    offers json NOT NULL
);
CREATE TABLE permits (
    id character varying(120) NOT NULL,
    digest character varying(80) NOT NULL,
    document text NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    logged boolean NOT NULL
);
CREATE TABLE releases (
    job_id character varying(120) NOT NULL,
    job_digest character varying(80) NOT NULL,
    state character varying(20) NOT NULL,
    subject_digest character varying(80) NOT NULL,
    label text NOT NULL,
    reviewer character varying(120) NOT NULL,
    logged boolean NOT NULL,
    made_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY job_events ALTER COLUMN sequence SET DEFAULT nextval('job_events_sequence_seq'::regclass);
INSERT INTO invitations VALUES ('0000000000000000000000000000000000000000000000000000000000000000', 'hospital-east', '2026-11-22 12:00:00+00', NULL);
INSERT INTO job_events VALUES (1, 'job-1', '2026-11-22 12:00:00+00', 'accepted', '{"hospital": "hospital-north"}');
INSERT INTO job_events VALUES (2, 'job-1', '2026-11-22 12:00:01+00', 'ended', '{"state": "finished"}');
INSERT INTO jobs VALUES ('job-1', 'sha256:bb', 'permit-1', '{}', 'finished', '', '2026-11-22 12:00:00+00');
INSERT INTO participants VALUES ('hospital-north', 'hospital-north+1', 'AAAA', '2026-11-22 12:00:00+00', '2026-12-22 12:00:00+00', '2026-11-22 13:00:00+00', '[{"dataset": "hospital-north/patients", "title": "P\u00e5tients"}]');
INSERT INTO participants VALUES ('hospital-east', 'hospital-east+1', 'BBBB', '2026-11-22 12:00:00+00', '2026-12-22 12:00:00+00', NULL, '[]');
INSERT INTO permits VALUES ('permit-1', 'sha256:aa', '{}', '2026-11-22 12:00:00+00', true);
INSERT INTO releases VALUES ('job-1', 'sha256:bb', 'held', 'sha256:cc', '{}', '', true, '2026-11-22 12:00:00+00');
SELECT pg_catalog.setval('job_events_sequence_seq', 2, true);
ALTER TABLE ONLY invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (token_digest);
ALTER TABLE ONLY job_events
    ADD CONSTRAINT job_events_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY jobs
    ADD CONSTRAINT jobs_digest_key UNIQUE (digest);
ALTER TABLE ONLY jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY participants
    ADD CONSTRAINT participants_pkey PRIMARY KEY (name);
ALTER TABLE ONLY permits
    ADD CONSTRAINT permits_digest_key UNIQUE (digest);
ALTER TABLE ONLY permits
    ADD CONSTRAINT permits_pkey PRIMARY KEY (id);
ALTER TABLE ONLY releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (job_id);
CREATE INDEX ix_job_events_job_id ON job_events USING btree (job_id);
CREATE INDEX ix_jobs_state ON jobs USING btree (state);
ALTER TABLE ONLY job_events
    ADD CONSTRAINT job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id);
ALTER TABLE ONLY jobs
    ADD CONSTRAINT jobs_permit_id_fkey FOREIGN KEY (permit_id) REFERENCES permits(id);
ALTER TABLE ONLY releases
    ADD CONSTRAINT releases_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs(id);
