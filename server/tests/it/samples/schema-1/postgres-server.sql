-- A server of this schema at work on PostgreSQL: its statements as they stood in its source, prepared, then executed
-- with parameters. Each says how many rows it returns.

-- of each connection
-- rows: 0
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';

-- begin
-- rows: 0
BEGIN;

-- lock
-- rows: 256
SELECT 1 FROM shard_leases ORDER BY shard FOR UPDATE;

-- take over
-- rows: 0
PREPARE s1 (text) AS UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + (NOT released)::integer, released = false, node = $1, taken_at = now() RETURNING shard, epoch, recoveries;

-- take over
-- rows: 256
EXECUTE s1 ('old server');

-- commit
-- rows: 0
COMMIT;

-- load user, in its transaction
-- rows: 0
BEGIN; SET LOCAL synchronous_commit = off;

-- lock one
-- rows: 0
PREPARE s2 (smallint[], bigint[]) AS SELECT lease.shard FROM shard_leases AS lease JOIN UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) ON lease.shard = held.shard AND lease.epoch = held.epoch AND NOT lease.released ORDER BY lease.shard FOR SHARE OF lease;

-- lock one
-- rows: 1
EXECUTE s2 ('{74}', '{4}');

-- load user
-- rows: 0
PREPARE s3 (uuid) AS SELECT id, user_id, shard, name, version, recoveries, schema_version, state::text AS state, request_ids, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at_ms, (extract(epoch FROM deleted_at) * 1000)::bigint AS deleted_at_ms FROM characters WHERE user_id = $1 AND deleted_at IS NULL ORDER BY created_at, id;

-- load user
-- rows: 1
EXECUTE s3 ('5cffc8f2-3e8c-4733-8bfd-397a973b7336');

-- commit
-- rows: 0
COMMIT;

-- save
-- rows: 0
PREPARE s4 (smallint[], bigint[], uuid[], uuid[], smallint[], text[], bigint[], bigint[], integer[], text[], bigint[], integer[], integer[], bigint[], bigint[], bigint[]) AS WITH held AS (SELECT lease.shard FROM shard_leases AS lease JOIN UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) ON lease.shard = held.shard AND lease.epoch = held.epoch AND NOT lease.released ORDER BY lease.shard FOR SHARE OF lease), written AS (INSERT INTO characters AS stored (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at, updated_at, deleted_at) SELECT id, user_id, shard, name, version, recoveries, schema_version, state::jsonb, ($11::bigint[])[ids_begin + 1 : ids_end], to_timestamp(created_at_ms * 0.001::float8), to_timestamp(updated_at_ms * 0.001::float8), to_timestamp(deleted_at_ms * 0.001::float8) FROM UNNEST($3::uuid[], $4::uuid[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[], $9::integer[], $10::text[], $12::integer[], $13::integer[], $14::bigint[], $15::bigint[], $16::bigint[]) AS new_row (id, user_id, shard, name, version, recoveries, schema_version, state, ids_begin, ids_end, created_at_ms, updated_at_ms, deleted_at_ms) WHERE shard = ANY (ARRAY (SELECT shard FROM held)) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, version = EXCLUDED.version, recoveries = EXCLUDED.recoveries, schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, request_ids = EXCLUDED.request_ids, updated_at = EXCLUDED.updated_at, deleted_at = EXCLUDED.deleted_at WHERE stored.version < EXCLUDED.version) SELECT shard FROM held;

-- save
-- rows: 1
EXECUTE s4 ('{74}', '{4}', '{"0198c0de-0000-7000-8000-0000000000e1","01a221e6-1ce8-7d98-9d54-ff7958feb954"}', '{"5cffc8f2-3e8c-4733-8bfd-397a973b7336","5cffc8f2-3e8c-4733-8bfd-397a973b7336"}', '{74,74}', '{"Eomer","Brannor 日本"}', '{1,1048582}', '{1,1}', '{3,3}', '{"{\"id\":\"0198c0de-0000-7000-8000-0000000000e1\",\"last\":0,\"life\":\"conscious\",\"name\":\"Eomer\",\"race\":\"human\",\"class\":\"paladin\",\"level\":1,\"skills\":[],\"attuned\":[],\"user_id\":\"5cffc8f2-3e8c-4733-8bfd-397a973b7336\",\"version\":1,\"currency\":{\"cp\":0,\"ep\":0,\"gp\":99,\"pp\":0,\"sp\":0},\"hit_dice\":1,\"abilities\":{\"cha\":14,\"con\":15,\"dex\":11,\"int\":9,\"str\":16,\"wis\":13},\"equipment\":{},\"expertise\":[],\"hitpoints\":12,\"inventory\":[{\"item\":\"chain-mail\",\"quantity\":1},{\"item\":\"longsword\",\"quantity\":1}],\"conditions\":[],\"created_at\":\"2026-11-28T11:24:18Z\",\"exhaustion\":0,\"experience\":0,\"updated_at\":\"2026-11-28T11:24:18Z\",\"death_saves\":{\"failures\":0,\"successes\":0},\"dice_rolled\":0,\"max_hitpoints\":12,\"hit_point_dice\":[10],\"temporary_hitpoints\":0}","{\"id\":\"01a221e6-1ce8-7d98-9d54-ff7958feb954\",\"last\":1005,\"life\":\"conscious\",\"name\":\"Brannor 日本\",\"race\":\"human\",\"class\":\"paladin\",\"level\":1,\"skills\":[],\"attuned\":[],\"user_id\":\"5cffc8f2-3e8c-4733-8bfd-397a973b7336\",\"version\":1048582,\"currency\":{\"cp\":0,\"ep\":0,\"gp\":99,\"pp\":0,\"sp\":0},\"hit_dice\":1,\"abilities\":{\"cha\":14,\"con\":15,\"dex\":11,\"int\":9,\"str\":16,\"wis\":13},\"equipment\":{},\"expertise\":[],\"hitpoints\":12,\"inventory\":[{\"item\":\"chain-mail\",\"quantity\":1},{\"item\":\"longsword\",\"quantity\":1}],\"conditions\":[],\"created_at\":\"2026-11-28T11:24:18Z\",\"exhaustion\":0,\"experience\":0,\"updated_at\":\"2026-11-28T11:24:18Z\",\"death_saves\":{\"failures\":0,\"successes\":0},\"dice_rolled\":0,\"max_hitpoints\":12,\"hit_point_dice\":[10],\"temporary_hitpoints\":0}"}', '{1001,1002,1003,1005}', '{0,0}', '{0,4}', '{1795868658540,1795865058540}', '{1795868658540,1795868658540}', '{NULL,NULL}');

-- add dead letter
-- rows: 0
PREPARE s5 (uuid, uuid, smallint, bytea, bigint, bigint, integer, bytea, bigint[], bigint, bigint, bigint, bigint, text, integer, bigint, text) AS INSERT INTO dead_letters (character_id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (character_id) DO UPDATE SET user_id = EXCLUDED.user_id, shard = EXCLUDED.shard, name = EXCLUDED.name, version = EXCLUDED.version, recoveries = EXCLUDED.recoveries, schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, request_ids = EXCLUDED.request_ids, created_at_ms = EXCLUDED.created_at_ms, updated_at_ms = EXCLUDED.updated_at_ms, deleted_at_ms = EXCLUDED.deleted_at_ms, epoch = EXCLUDED.epoch, error = EXCLUDED.error, attempts = EXCLUDED.attempts, failed_at_ms = EXCLUDED.failed_at_ms, verdict = EXCLUDED.verdict;

-- add dead letter
-- rows: 0
EXECUTE s5 ('0198c0de-0000-7000-8000-0000000000e1', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 74, 'Eomer', 2, 1, 3, '{}', '{4001}', 1795868658540, 1795868658540, NULL, 4, 'too long', 2, 1795868658540, NULL);

-- dead letters
-- rows: 0
PREPARE s6 AS SELECT character_id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict FROM dead_letters ORDER BY failed_at_ms, character_id;

-- dead letters
-- rows: 2
EXECUTE s6;

-- decide
-- rows: 0
PREPARE s7 (uuid, text) AS UPDATE dead_letters SET verdict = $2 WHERE character_id = $1;

-- decide
-- rows: 0
EXECUTE s7 ('0198c0de-0000-7000-8000-0000000000e1', 'retry');

-- forget one that somebody decided about
-- rows: 0
PREPARE s8 (uuid, bigint) AS DELETE FROM dead_letters WHERE character_id = $1 AND version = $2 AND verdict IS NULL;

-- forget one that somebody decided about
-- rows: 0
EXECUTE s8 ('0198c0de-0000-7000-8000-0000000000e1', 2);

-- raise
-- rows: 0
PREPARE s9 (uuid, uuid, smallint, bigint, bigint, bigint) AS INSERT INTO characters AS stored (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at, updated_at, deleted_at) VALUES ($1, $2, $3, '', $4, $5, 1, '{}', '{}', now(), now(), now()) ON CONFLICT (id) DO UPDATE SET recoveries = EXCLUDED.recoveries, version = GREATEST(EXCLUDED.version, stored.version + (1 + GREATEST(EXCLUDED.recoveries - stored.recoveries, 0)) * $6);

-- raise
-- rows: 0
EXECUTE s9 ('0198c0de-0000-7000-8000-0000000000e1', '5cffc8f2-3e8c-4733-8bfd-397a973b7336', 74, 1048577, 1, 1048576);

-- raise
-- rows: 0
EXECUTE s9 ('0198c0de-0000-7000-8000-00000000dead', '74653eca-88d0-4fc3-bb8f-803ca8219863', 147, 1048583, 1, 1048576);

-- forget
-- rows: 0
PREPARE s10 (uuid) AS DELETE FROM dead_letters WHERE character_id = $1;

-- forget
-- rows: 0
EXECUTE s10 ('0198c0de-0000-7000-8000-0000000000e1');

-- forget
-- rows: 0
EXECUTE s10 ('0198c0de-0000-7000-8000-00000000dead');

-- create account
-- rows: 0
PREPARE s11 (uuid, text, text, text, text, bigint) AS INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at) VALUES ($1, $2, $3, $4, $5, to_timestamp($6 * 0.001::float8)) ON CONFLICT (user_id) DO NOTHING;

-- create account
-- rows: 0
EXECUTE s11 ('0198c0de-0000-4000-8000-0000000000a1', 'Éowyn', 'éowyn', '$argon2id$v=19$m=64,t=1,p=1$w+8LIlTSsQ8mwn1ZRCyIcg$P232IThOBqXsG+NvTH82M4G7k+IZtNjvHzJiMFjVzBA', 'player', 1795868658540);

-- account
-- rows: 0
PREPARE s12 (text) AS SELECT user_id, username, password_hash, role, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms FROM accounts WHERE username_folded = $1;

-- account
-- rows: 1
EXECUTE s12 ('éowyn');

-- account of
-- rows: 0
PREPARE s13 (uuid) AS SELECT user_id, username, password_hash, role, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms FROM accounts WHERE user_id = $1;

-- account of
-- rows: 1
EXECUTE s13 ('0198c0de-0000-4000-8000-0000000000a1');

-- create session
-- rows: 0
PREPARE s14 (uuid, uuid, bigint, bigint, bigint, bigint) AS INSERT INTO sessions (id, user_id, generation, rotated_at, expires_at, revoked_at) VALUES ($1, $2, $3, to_timestamp($4 * 0.001::float8), to_timestamp($5 * 0.001::float8), to_timestamp($6 * 0.001::float8)) ON CONFLICT (id) DO NOTHING;

-- create session
-- rows: 0
EXECUTE s14 ('0198c0de-0000-4000-8000-00000000005e', '0198c0de-0000-4000-8000-0000000000a1', 0, 1795868658540, 1795868658541, NULL);

-- session
-- rows: 0
PREPARE s15 (uuid) AS SELECT id, user_id, generation, (extract(epoch FROM rotated_at) * 1000)::bigint AS rotated_at_ms, (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms, (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_at_ms FROM sessions WHERE id = $1;

-- session
-- rows: 1
EXECUTE s15 ('0198c0de-0000-4000-8000-00000000005e');

-- rotate session
-- rows: 0
PREPARE s16 (uuid, bigint, bigint, bigint) AS UPDATE sessions SET generation = generation + 1, rotated_at = to_timestamp($3 * 0.001::float8), expires_at = to_timestamp($4 * 0.001::float8) WHERE id = $1 AND generation = $2 AND revoked_at IS NULL;

-- rotate session
-- rows: 0
EXECUTE s16 ('0198c0de-0000-4000-8000-00000000005e', 0, 1795868658541, 1795868658542);

-- revoke session
-- rows: 0
PREPARE s17 (uuid, bigint) AS UPDATE sessions SET revoked_at = to_timestamp($2 * 0.001::float8) WHERE id = $1 AND revoked_at IS NULL;

-- revoke session
-- rows: 0
EXECUTE s17 ('0198c0de-0000-4000-8000-00000000005e', 1795868658541);

-- revoked sessions
-- rows: 0
PREPARE s18 (bigint) AS SELECT id FROM sessions WHERE revoked_at >= to_timestamp($1 * 0.001::float8) ORDER BY id;

-- revoked sessions
-- rows: 1
EXECUTE s18 (1795868658540);

-- expired sessions
-- rows: 0
PREPARE s19 (bigint, bigint) AS SELECT id FROM sessions WHERE expires_at < to_timestamp($1 * 0.001::float8) LIMIT $2;

-- expired sessions
-- rows: 1
EXECUTE s19 (1795868658543, 1);

-- forget sessions
-- rows: 0
PREPARE s20 (uuid[]) AS DELETE FROM sessions WHERE id = ANY ($1);

-- forget sessions
-- rows: 0
EXECUTE s20 ('{"0198c0de-0000-4000-8000-00000000005e"}');

-- keys
-- rows: 0
PREPARE s21 AS SELECT id, purpose, secret, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms FROM signing_keys ORDER BY created_at, id;

-- keys
-- rows: 3
EXECUTE s21;

-- begin
-- rows: 0
BEGIN;

-- add first key, in its transaction
-- rows: 0
LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE;

-- add first key
-- rows: 0
PREPARE s22 (text, text, bytea, bigint) AS INSERT INTO signing_keys (id, purpose, secret, created_at) SELECT $1, $2, $3, to_timestamp($4 * 0.001::float8) WHERE NOT EXISTS (SELECT FROM signing_keys WHERE purpose = $2);

-- add first key
-- rows: 0
EXECUTE s22 ('dice-later', 'dice', '', 1795868658540);

-- commit
-- rows: 0
COMMIT;

-- begin
-- rows: 0
BEGIN;

-- lock to release
-- rows: 0
PREPARE s23 (smallint[]) AS SELECT 1 FROM shard_leases WHERE shard = ANY ($1) ORDER BY shard FOR UPDATE;

-- lock to release
-- rows: 256
EXECUTE s23 ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95,96,97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120,121,122,123,124,125,126,127,128,129,130,131,132,133,134,135,136,137,138,139,140,141,142,143,144,145,146,147,148,149,150,151,152,153,154,155,156,157,158,159,160,161,162,163,164,165,166,167,168,169,170,171,172,173,174,175,176,177,178,179,180,181,182,183,184,185,186,187,188,189,190,191,192,193,194,195,196,197,198,199,200,201,202,203,204,205,206,207,208,209,210,211,212,213,214,215,216,217,218,219,220,221,222,223,224,225,226,227,228,229,230,231,232,233,234,235,236,237,238,239,240,241,242,243,244,245,246,247,248,249,250,251,252,253,254,255}');

-- release
-- rows: 0
PREPARE s24 (smallint[], bigint[]) AS UPDATE shard_leases AS lease SET released = true FROM UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) WHERE lease.shard = held.shard AND lease.epoch = held.epoch;

-- release
-- rows: 0
EXECUTE s24 ('{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95,96,97,98,99,100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,118,119,120,121,122,123,124,125,126,127,128,129,130,131,132,133,134,135,136,137,138,139,140,141,142,143,144,145,146,147,148,149,150,151,152,153,154,155,156,157,158,159,160,161,162,163,164,165,166,167,168,169,170,171,172,173,174,175,176,177,178,179,180,181,182,183,184,185,186,187,188,189,190,191,192,193,194,195,196,197,198,199,200,201,202,203,204,205,206,207,208,209,210,211,212,213,214,215,216,217,218,219,220,221,222,223,224,225,226,227,228,229,230,231,232,233,234,235,236,237,238,239,240,241,242,243,244,245,246,247,248,249,250,251,252,253,254,255}', '{4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4}');

-- commit
-- rows: 0
COMMIT;
