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

CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);

CREATE TABLE public.accounts (
    user_id uuid NOT NULL,
    username text NOT NULL,
    username_folded text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.characters (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    shard smallint NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL,
    recoveries bigint NOT NULL,
    schema_version integer NOT NULL,
    state jsonb NOT NULL,
    request_ids bigint[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT characters_version_check CHECK ((version >= 1))
)
WITH (fillfactor='80');

CREATE TABLE public.dead_letters (
    character_id uuid NOT NULL,
    user_id uuid NOT NULL,
    shard smallint NOT NULL,
    name bytea NOT NULL,
    version bigint NOT NULL,
    recoveries bigint NOT NULL,
    schema_version integer NOT NULL,
    state bytea NOT NULL,
    request_ids bigint[] NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    deleted_at_ms bigint,
    epoch bigint NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    failed_at_ms bigint NOT NULL,
    verdict text,
    CONSTRAINT dead_letters_verdict_check CHECK ((verdict = ANY (ARRAY['retry'::text, 'discard'::text])))
);

CREATE TABLE public.nodes (
    id uuid NOT NULL,
    name text NOT NULL,
    address text,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

CREATE TABLE public.sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    generation bigint NOT NULL,
    rotated_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

CREATE TABLE public.shard_leases (
    shard smallint NOT NULL,
    epoch bigint NOT NULL,
    recoveries bigint NOT NULL,
    released boolean NOT NULL,
    node text,
    taken_at timestamp with time zone,
    CONSTRAINT shard_leases_shard_check CHECK (((shard >= 0) AND (shard <= 255)))
);

CREATE TABLE public.signing_keys (
    id text NOT NULL,
    purpose text NOT NULL,
    secret bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);

INSERT INTO public._sqlx_migrations VALUES (1, 'tables', '2026-11-28 11:24:18.474593+00', true, '\xef1d8e0efe56b5c5fec428bbedd7f242c4749c6514e9075df885e71dad9682d6fa562b3a0f449746091303febf7c2401', 12352134);

INSERT INTO public.accounts VALUES ('5cffc8f2-3e8c-4733-8bfd-397a973b7336', 'Ada', 'ada', '$argon2id$v=19$m=64,t=1,p=1$w+8LIlTSsQ8mwn1ZRCyIcg$P232IThOBqXsG+NvTH82M4G7k+IZtNjvHzJiMFjVzBA', 'player', '2026-11-28 11:24:18.529+00');
INSERT INTO public.accounts VALUES ('74653eca-88d0-4fc3-bb8f-803ca8219863', 'Ärwen', 'ärwen', '$argon2id$v=19$m=64,t=1,p=1$cyH1lWuAI8oW4IhJAfb3bQ$sfHP1p56u/A/dF9FTeledwvncV4KtCmWIHak5Q5QkL0', 'player', '2026-11-28 11:24:18.635+00');

INSERT INTO public.characters VALUES ('01a221e6-1ce8-7d98-9d54-ff7958feb954', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 74, 'Brannor 日本', 1048580, 1, 3, '{"id": "01a221e6-1ce8-7d98-9d54-ff7958feb954", "last": 1003, "life": "conscious", "name": "Brannor 日本", "race": "human", "class": "paladin", "level": 1, "skills": [], "attuned": [], "user_id": "5cffc8f2-3e8c-4733-8bfd-397a973b7336", "version": 1048580, "currency": {"cp": 0, "ep": 0, "gp": 42, "pp": 0, "sp": 0}, "hit_dice": 1, "abilities": {"cha": 14, "con": 15, "dex": 11, "int": 9, "str": 16, "wis": 13}, "equipment": {}, "expertise": [], "hitpoints": 12, "inventory": [{"item": "chain-mail", "quantity": 1}, {"item": "longsword", "quantity": 1}], "conditions": [], "created_at": "2026-11-28T11:24:18Z", "exhaustion": 0, "experience": 0, "updated_at": "2026-11-28T11:24:18Z", "death_saves": {"failures": 0, "successes": 0}, "dice_rolled": 0, "max_hitpoints": 12, "hit_point_dice": [10], "temporary_hitpoints": 0}', '{1001,1002,1003}', '2026-11-28 11:24:18.54+00', '2026-11-28 11:24:18.616+00', NULL);
INSERT INTO public.characters VALUES ('01a221e6-1d45-7878-bd10-acbd68775f19', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 74, 'Gone', 2, 1, 3, '{"id": "01a221e6-1d45-7878-bd10-acbd68775f19", "last": 6112463579354294, "life": "conscious", "name": "Gone", "race": "human", "class": "paladin", "level": 1, "skills": [], "attuned": [], "user_id": "5cffc8f2-3e8c-4733-8bfd-397a973b7336", "version": 2, "currency": {"cp": 0, "ep": 0, "gp": 0, "pp": 0, "sp": 0}, "hit_dice": 1, "abilities": {"cha": 14, "con": 15, "dex": 11, "int": 9, "str": 16, "wis": 13}, "equipment": {}, "expertise": [], "hitpoints": 12, "inventory": [{"item": "chain-mail", "quantity": 1}], "conditions": [], "created_at": "2026-11-28T11:24:18Z", "exhaustion": 0, "experience": 0, "updated_at": "2026-11-28T11:24:18Z", "death_saves": {"failures": 0, "successes": 0}, "dice_rolled": 0, "max_hitpoints": 12, "hit_point_dice": [10], "temporary_hitpoints": 0}', '{6112463579354294}', '2026-11-28 11:24:18.629+00', '2026-11-28 11:24:18.631+00', '2026-11-28 11:24:18.631+00');
INSERT INTO public.characters VALUES ('01a221e6-1d50-7dc4-9533-2bd9a29760cb', '74653eca-88d0-4fc3-bb8f-803ca8219863', 147, 'Ärwen', 2, 1, 3, '{"id": "01a221e6-1d50-7dc4-9533-2bd9a29760cb", "last": 2001, "life": "conscious", "name": "Ärwen", "race": "human", "class": "paladin", "level": 1, "skills": [], "attuned": [], "user_id": "74653eca-88d0-4fc3-bb8f-803ca8219863", "version": 2, "currency": {"cp": 0, "ep": 0, "gp": 0, "pp": 0, "sp": 0}, "hit_dice": 1, "abilities": {"cha": 14, "con": 15, "dex": 11, "int": 9, "str": 16, "wis": 13}, "equipment": {}, "expertise": [], "hitpoints": 9, "inventory": [{"item": "chain-mail", "quantity": 1}], "conditions": [], "created_at": "2026-11-28T11:24:18Z", "exhaustion": 0, "experience": 0, "updated_at": "2026-11-28T11:24:18Z", "death_saves": {"failures": 0, "successes": 0}, "dice_rolled": 0, "max_hitpoints": 12, "hit_point_dice": [10], "temporary_hitpoints": 0}', '{2001}', '2026-11-28 11:24:18.643+00', '2026-11-28 11:24:18.647+00', NULL);

INSERT INTO public.dead_letters VALUES ('0198c0de-0000-7000-8000-00000000dead', '74653eca-88d0-4fc3-bb8f-803ca8219863', 147, '\x52656675736564', 7, 1, 3, '\x7b226964223a202230313938633064652d303030302d373030302d383030302d303030303030303064656164222c20226c617374223a20323030312c20226c696665223a2022636f6e7363696f7573222c20226e616d65223a2022c3847277656e222c202272616365223a202268756d616e222c2022636c617373223a202270616c6164696e222c20226c6576656c223a20312c2022736b696c6c73223a205b5d2c2022617474756e6564223a205b5d2c2022757365725f6964223a202237343635336563612d383864302d346663332d626238662d383033636138323139383633222c202276657273696f6e223a20322c202263757272656e6379223a207b226370223a20302c20226570223a20302c20226770223a20302c20227070223a20302c20227370223a20307d2c20226869745f64696365223a20312c20226162696c6974696573223a207b22636861223a2031342c2022636f6e223a2031352c2022646578223a2031312c2022696e74223a20392c2022737472223a2031362c2022776973223a2031337d2c202265717569706d656e74223a207b7d2c2022657870657274697365223a205b5d2c2022686974706f696e7473223a20392c2022696e76656e746f7279223a205b7b226974656d223a2022636861696e2d6d61696c222c20227175616e74697479223a20317d5d2c2022636f6e646974696f6e73223a205b5d2c2022637265617465645f6174223a2022323032362d31312d32385431313a32343a31385a222c202265786861757374696f6e223a20302c2022657870657269656e6365223a20302c2022757064617465645f6174223a2022323032362d31312d32385431313a32343a31385a222c202264656174685f7361766573223a207b226661696c75726573223a20302c2022737563636573736573223a20307d2c2022646963655f726f6c6c6564223a20302c20226d61785f686974706f696e7473223a2031322c20226869745f706f696e745f64696365223a205b31305d2c202274656d706f726172795f686974706f696e7473223a20307d', '{3001,3002}', 1795865058643, 1795865058647, NULL, 2, 'value too long', 3, 1795865058647, NULL);

INSERT INTO public.sessions VALUES ('903ddbd7-7ddf-4ba0-9a1f-f696d02c8ac3', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 0, '2026-11-28 11:24:18.533+00', '2026-12-28 11:24:18.533+00', NULL);
INSERT INTO public.sessions VALUES ('6e4ad8d2-7b14-484e-acbd-94b26ddae101', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 0, '2026-11-28 11:24:18.612+00', '2026-12-28 11:24:18.612+00', '2026-11-28 11:24:18.632+00');
INSERT INTO public.sessions VALUES ('cc171e75-2132-4c59-952d-bbab621445ba', '74653eca-88d0-4fc3-bb8f-803ca8219863', 0, '2026-11-28 11:24:18.636+00', '2026-12-28 11:24:18.636+00', NULL);

INSERT INTO public.shard_leases VALUES (0, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (1, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (2, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (3, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (4, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (5, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (6, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (7, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (8, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (9, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (10, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (11, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (12, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (13, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (14, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (15, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (16, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (17, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (18, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (19, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (20, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (21, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (22, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (23, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (24, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (25, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (26, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (27, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (28, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (29, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (30, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (31, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (32, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (33, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (34, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (35, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (36, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (37, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (38, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (39, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (40, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (41, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (42, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (43, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (44, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (45, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (46, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (47, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (48, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (49, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (50, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (51, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (52, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (53, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (54, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (55, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (56, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (57, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (58, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (59, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (60, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (61, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (62, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (63, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (64, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (65, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (66, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (67, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (68, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (69, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (70, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (71, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (72, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (73, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (74, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (75, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (76, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (77, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (78, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (79, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (80, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (81, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (82, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (83, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (84, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (85, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (86, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (87, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (88, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (89, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (90, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (91, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (92, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (93, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (94, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (95, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (96, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (97, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (98, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (99, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (100, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (101, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (102, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (103, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (104, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (105, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (106, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (107, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (108, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (109, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (110, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (111, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (112, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (113, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (114, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (115, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (116, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (117, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (118, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (119, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (120, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (121, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (122, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (123, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (124, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (125, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (126, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (127, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (128, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (129, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (130, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (131, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (132, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (133, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (134, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (135, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (136, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (137, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (138, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (139, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (140, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (141, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (142, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (143, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (144, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (145, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (146, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (147, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (148, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (149, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (150, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (151, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (152, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (153, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (154, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (155, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (156, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (157, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (158, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (159, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (160, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (161, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (162, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (163, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (164, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (165, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (166, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (167, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (168, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (169, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (170, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (171, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (172, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (173, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (174, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (175, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (176, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (177, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (178, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (179, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (180, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (181, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (182, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (183, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (184, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (185, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (186, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (187, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (188, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (189, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (190, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (191, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (192, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (193, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (194, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (195, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (196, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (197, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (198, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (199, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (200, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (201, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (202, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (203, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (204, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (205, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (206, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (207, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (208, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (209, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (210, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (211, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (212, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (213, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (214, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (215, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (216, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (217, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (218, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (219, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (220, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (221, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (222, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (223, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (224, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (225, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (226, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (227, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (228, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (229, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (230, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (231, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (232, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (233, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (234, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (235, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (236, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (237, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (238, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (239, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (240, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (241, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (242, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (243, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (244, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (245, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (246, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (247, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (248, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (249, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (250, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (251, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (252, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (253, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (254, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');
INSERT INTO public.shard_leases VALUES (255, 2, 1, true, '127.0.0.1:38229 (process 5662)', '2026-11-28 11:24:18.596146+00');

INSERT INTO public.signing_keys VALUES ('refresh-uTEcVnYD', 'refresh', '\x5cfe517db053f5e1865ce5866ab5f3cb2286965f8261cc2cbc5020bbe98fbb8c', '2026-11-28 11:24:18.487+00');
INSERT INTO public.signing_keys VALUES ('UV-KhE_aJF3CqWb79KgBmfvlm3E3yUK--68ruLMGRkA', 'es256', '\x308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b02010104203aa5ad3e8ced5d5cbddd83716d95a0e874f79adfda0c43f2ab2467e095408ae3a144034200046313253c74a39153c9cd51f557d0bd421517efed93b02e7efb90853db5cc399913aa6a2c8456132fa267f776fa1c4864f86bd449f028c37684d0bbc32adf2072', '2026-11-28 11:24:18.487+00');
INSERT INTO public.signing_keys VALUES ('dice-akumqaRZ', 'dice', '\x42b361f5b2048399a9db8f8629dac202690cf61de110b37de724e9c645869f6e', '2026-11-28 11:24:18.515+00');

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_username_folded_key UNIQUE (username_folded);

ALTER TABLE ONLY public.characters
    ADD CONSTRAINT characters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (character_id);

ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.shard_leases
    ADD CONSTRAINT shard_leases_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (id);

CREATE INDEX characters_of_user ON public.characters USING btree (user_id) WHERE (deleted_at IS NULL);

CREATE INDEX sessions_revoked ON public.sessions USING btree (revoked_at) WHERE (revoked_at IS NOT NULL);

