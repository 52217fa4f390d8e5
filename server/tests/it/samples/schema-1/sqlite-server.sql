-- A server of this schema at work on SQLite: its statements as they stood in its source, each with the parameters that
-- it binds and the number of rows that it returns.

-- begin
-- rows: 0
BEGIN IMMEDIATE;

-- take over
-- bind: ["old server"]
-- rows: 256
UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + NOT released, released = 0, node = ?1, taken_at_ms = unixepoch() * 1000 RETURNING shard, epoch, recoveries;

-- commit
-- rows: 0
COMMIT;

-- prove
-- rows: 256
SELECT shard, epoch FROM shard_leases WHERE NOT released;

-- check one
-- bind: [211, 4]
-- rows: 1
SELECT 1 FROM shard_leases WHERE shard = ?1 AND epoch = ?2 AND NOT released;

-- load user
-- bind: ["7f566925-cdaa-4c27-85d7-b2f01916b10d"]
-- rows: 1
SELECT id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms FROM characters WHERE user_id = ?1 AND deleted_at_ms IS NULL ORDER BY created_at_ms, id;

-- begin
-- rows: 0
BEGIN IMMEDIATE;

-- save
-- bind: ["01a221e6-14ea-7763-b523-25a550740a72", "7f566925-cdaa-4c27-85d7-b2f01916b10d", 211, "Brannor 日本", 1048582, 1, 3, "{\"id\":\"01a221e6-14ea-7763-b523-25a550740a72\",\"user_id\":\"7f566925-cdaa-4c27-85d7-b2f01916b10d\",\"name\":\"Brannor 日本\",\"race\":\"human\",\"class\":\"paladin\",\"level\":1,\"experience\":0,\"abilities\":{\"str\":16,\"dex\":11,\"con\":15,\"int\":9,\"wis\":13,\"cha\":14},\"skills\":[],\"hitpoints\":12,\"max_hitpoints\":12,\"temporary_hitpoints\":0,\"hit_dice\":1,\"death_saves\":{\"successes\":0,\"failures\":0},\"life\":\"conscious\",\"conditions\":[],\"exhaustion\":0,\"currency\":{\"cp\":0,\"sp\":0,\"ep\":0,\"gp\":99,\"pp\":0},\"equipment\":{},\"attuned\":[],\"inventory\":[{\"item\":\"chain-mail\",\"quantity\":1},{\"item\":\"longsword\",\"quantity\":1}],\"hit_point_dice\":[10],\"expertise\":[],\"dice_rolled\":0,\"version\":1048582,\"last\":1005,\"created_at\":\"2026-11-28T11:24:16Z\",\"updated_at\":\"2026-11-28T11:24:16Z\"}", "[1001, 1002, 1003, 1005]", 1795865056494, 1795868656494, null, "0198c0de-0000-7000-8000-0000000000e1", "7f566925-cdaa-4c27-85d7-b2f01916b10d", 211, "Eomer", 1, 1, 3, "{\"id\":\"0198c0de-0000-7000-8000-0000000000e1\",\"user_id\":\"7f566925-cdaa-4c27-85d7-b2f01916b10d\",\"name\":\"Eomer\",\"race\":\"human\",\"class\":\"paladin\",\"level\":1,\"experience\":0,\"abilities\":{\"str\":16,\"dex\":11,\"con\":15,\"int\":9,\"wis\":13,\"cha\":14},\"skills\":[],\"hitpoints\":12,\"max_hitpoints\":12,\"temporary_hitpoints\":0,\"hit_dice\":1,\"death_saves\":{\"successes\":0,\"failures\":0},\"life\":\"conscious\",\"conditions\":[],\"exhaustion\":0,\"currency\":{\"cp\":0,\"sp\":0,\"ep\":0,\"gp\":99,\"pp\":0},\"equipment\":{},\"attuned\":[],\"inventory\":[{\"item\":\"chain-mail\",\"quantity\":1},{\"item\":\"longsword\",\"quantity\":1}],\"hit_point_dice\":[10],\"expertise\":[],\"dice_rolled\":0,\"version\":1,\"last\":0,\"created_at\":\"2026-11-28T11:24:16Z\",\"updated_at\":\"2026-11-28T11:24:16Z\"}", "[]", 1795868656494, 1795868656494, null]
-- rows: 0
INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, recoveries = excluded.recoveries, schema_version = excluded.schema_version, state = excluded.state, request_ids = excluded.request_ids, updated_at_ms = excluded.updated_at_ms, deleted_at_ms = excluded.deleted_at_ms WHERE characters.version < excluded.version;

-- commit
-- rows: 0
COMMIT;

-- add dead letter
-- bind: ["0198c0de-0000-7000-8000-0000000000e1", "7f566925-cdaa-4c27-85d7-b2f01916b10d", 211, "Eomer", 2, 1, 3, "{\"id\":\"0198c0de-0000-7000-8000-0000000000e1\",\"user_id\":\"7f566925-cdaa-4c27-85d7-b2f01916b10d\",\"name\":\"Eomer\",\"race\":\"human\",\"class\":\"paladin\",\"level\":1,\"experience\":0,\"abilities\":{\"str\":16,\"dex\":11,\"con\":15,\"int\":9,\"wis\":13,\"cha\":14},\"skills\":[],\"hitpoints\":12,\"max_hitpoints\":12,\"temporary_hitpoints\":0,\"hit_dice\":1,\"death_saves\":{\"successes\":0,\"failures\":0},\"life\":\"conscious\",\"conditions\":[],\"exhaustion\":0,\"currency\":{\"cp\":0,\"sp\":0,\"ep\":0,\"gp\":99,\"pp\":0},\"equipment\":{},\"attuned\":[],\"inventory\":[{\"item\":\"chain-mail\",\"quantity\":1},{\"item\":\"longsword\",\"quantity\":1}],\"hit_point_dice\":[10],\"expertise\":[],\"dice_rolled\":0,\"version\":1,\"last\":0,\"created_at\":\"2026-11-28T11:24:16Z\",\"updated_at\":\"2026-11-28T11:24:16Z\"}", "[4001]", 1795868656494, 1795868656494, null, 4, "too long", 2, 1795868656494, null]
-- rows: 0
INSERT OR REPLACE INTO dead_letters (character_id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17);

-- dead letters
-- rows: 2
SELECT character_id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict FROM dead_letters ORDER BY failed_at_ms, character_id;

-- decide
-- bind: ["0198c0de-0000-7000-8000-0000000000e1", "retry"]
-- rows: 0
UPDATE dead_letters SET verdict = ?2 WHERE character_id = ?1;

-- forget one that somebody decided about
-- bind: ["0198c0de-0000-7000-8000-0000000000e1", 2]
-- rows: 0
DELETE FROM dead_letters WHERE character_id = ?1 AND version = ?2 AND verdict IS NULL;

-- raise
-- bind: ["0198c0de-0000-7000-8000-0000000000e1", "7f566925-cdaa-4c27-85d7-b2f01916b10d", 211, 1048577, 1, 1048576]
-- rows: 0
INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms) SELECT ?1, ?2, ?3, '', ?4, ?5, 1, '{}', '[]', now.ms, now.ms, now.ms FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms) AS now WHERE true ON CONFLICT (id) DO UPDATE SET recoveries = excluded.recoveries, version = max(excluded.version, characters.version + (1 + max(excluded.recoveries - characters.recoveries, 0)) * ?6);

-- raise one without a row
-- bind: ["0198c0de-0000-7000-8000-00000000dead", "2f0df952-f27b-435e-9205-cf7919b91df5", 108, 1048583, 1, 1048576]
-- rows: 0
INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms) SELECT ?1, ?2, ?3, '', ?4, ?5, 1, '{}', '[]', now.ms, now.ms, now.ms FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms) AS now WHERE true ON CONFLICT (id) DO UPDATE SET recoveries = excluded.recoveries, version = max(excluded.version, characters.version + (1 + max(excluded.recoveries - characters.recoveries, 0)) * ?6);

-- forget
-- bind: ["0198c0de-0000-7000-8000-0000000000e1"]
-- rows: 0
DELETE FROM dead_letters WHERE character_id = ?1;

-- forget
-- bind: ["0198c0de-0000-7000-8000-00000000dead"]
-- rows: 0
DELETE FROM dead_letters WHERE character_id = ?1;

-- create account
-- bind: ["0198c0de-0000-4000-8000-0000000000a1", "Éowyn", "éowyn", "$argon2id$v=19$m=64,t=1,p=1$H0yti6muo0KtBa6aGga9FA$b+XWtAOFBcyizYq7SzRnxnZD5BZJK7uV0meZxt/pXUQ", "player", 1795868656494]
-- rows: 0
INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (user_id) DO NOTHING;

-- account
-- bind: ["éowyn"]
-- rows: 1
SELECT user_id, username, password_hash, role, created_at_ms FROM accounts WHERE username_folded = ?1;

-- account of
-- bind: ["0198c0de-0000-4000-8000-0000000000a1"]
-- rows: 1
SELECT user_id, username, password_hash, role, created_at_ms FROM accounts WHERE user_id = ?1;

-- create session
-- bind: ["0198c0de-0000-4000-8000-00000000005e", "0198c0de-0000-4000-8000-0000000000a1", 0, 1795868656494, 1795868656495, null]
-- rows: 0
INSERT INTO sessions (id, user_id, generation, rotated_at_ms, expires_at_ms, revoked_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING;

-- session
-- bind: ["0198c0de-0000-4000-8000-00000000005e"]
-- rows: 1
SELECT id, user_id, generation, rotated_at_ms, expires_at_ms, revoked_at_ms FROM sessions WHERE id = ?1;

-- rotate session
-- bind: ["0198c0de-0000-4000-8000-00000000005e", 0, 1795868656495, 1795868656496]
-- rows: 0
UPDATE sessions SET generation = generation + 1, rotated_at_ms = ?3, expires_at_ms = ?4 WHERE id = ?1 AND generation = ?2 AND revoked_at_ms IS NULL;

-- revoke session
-- bind: ["0198c0de-0000-4000-8000-00000000005e", 1795868656495]
-- rows: 0
UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL;

-- revoked sessions
-- bind: [1795868656494]
-- rows: 1
SELECT id FROM sessions WHERE revoked_at_ms >= ?1 ORDER BY id;

-- expired sessions
-- bind: [1795868656497, 1]
-- rows: 1
SELECT id FROM sessions WHERE expires_at_ms < ?1 LIMIT ?2;

-- forget sessions
-- bind: ["[\"0198c0de-0000-4000-8000-00000000005e\"]"]
-- rows: 0
DELETE FROM sessions WHERE id IN (SELECT value FROM json_each(?1));

-- keys
-- rows: 3
SELECT id, purpose, secret, created_at_ms FROM signing_keys ORDER BY created_at_ms, id;

-- add first key
-- bind: ["dice-later", "dice", "", 1795868656494]
-- rows: 0
INSERT INTO signing_keys (id, purpose, secret, created_at_ms) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE purpose = ?2);

-- begin
-- rows: 0
BEGIN IMMEDIATE;

-- release
-- bind: [211, 4]
-- rows: 0
UPDATE shard_leases SET released = 1 WHERE shard = ?1 AND epoch = ?2;

-- commit
-- rows: 0
COMMIT;
