package convergetest_test

// table names every step over the wires after which a process may die: each call of either
// system, each command and script of Redis, each mail. TestEveryStepIsNamed finds what is
// missing here, and what no act takes any more.
func table() []string {
	return []string{
		// A connection to Redis is opened.
		"redis hello", "redis info",

		// The inbox takes a hint in, hands it out, and is told what became of it.
		"inbox append", "inbox receive", "inbox extend",
		"inbox done", "inbox retry", "inbox dead", "inbox forward", "inbox replay",
		"redis scard held", "inbox release", "inbox maintain",

		// A round is begun: the lease, the link, whose item it is, whether it is an old one.
		"lease acquire", "lease renew", "lease release",
		"redis hmget link", "redis hget workitems", "redis sismember existing", "redis srem existing",
		"redis hgetall mirrors", "redis hgetall notices",

		// What Alvao's application told is kept, and read where the log can't be.
		"pushed keep", "pushed heard", "pushed round", "pushed read", "redis get heard", "redis get round", "redis hget pushed",

		// Both sides are read.
		"desk GET v1/services", "desk GET webhooks/suggestcolumnsforticket",
		"desk GET v1/tickets/*", "desk GET v1/tickets/*/log", "desk GET v1/users", "desk GET v1/attachments/*",
		"boards GET wit/workitems/*", "boards GET wit/recyclebin/*", "boards GET wit/workItems/*/comments",
		"boards GET */_apis/wit/attachments/*", "boards GET wit/workitemtypes/Task", "boards GET wit/workitemtypes/Task/fields",
		"boards GET wit/fields", "boards GET identities", "boards POST wit/wiql", "boards POST wit/workitemsbatch",

		// Alvao is written to.
		"desk PATCH v1/tickets/* (customItems)", "desk PUT v1/tickets/*/state (stateId)", "desk PUT v1/tickets/*/state (stateName)",
		"desk POST v1/tickets/*/log (message)", "desk POST v1/tickets/*/log (note)", "desk POST v1/tickets/*/log (of a file)",

		// Azure DevOps is written to.
		"boards POST wit/workitems/$type", "boards PATCH wit/workitems/* (fields/System.State)",
		"boards PATCH wit/workitems/* (fields/System.Tags, relations/-Hyperlink)",
		"boards POST wit/attachments", "boards PATCH wit/workitems/* (relations/-AttachedFile)",
		"boards POST wit/workItems/*/comments (message)", "boards POST wit/workItems/*/comments (note)",
		"boards POST wit/workItems/*/comments (of a file)", "boards PATCH wit/workItems/*/comments/* (text)",

		// What was done is remembered; the work item is claimed and the ticket listed before.
		"redis hget link", "redis zadd tickets", "link claim",
		"link put (in silence)", "link put (create-work-item)", "link put (mark-work-item)", "link put (write-external-id)",
		"link put (adopt)", "link put (agree)", "link put (set-state)", "link put (set-status)", "link put (conflict)",
		"link put (park)", "link put (gone)", "link put (back)", "link put (mended)", "link put (type)", "link put (tell)",
		"link put (untold)", "link put (leave-out)",
		"link since", "link mirror (begun)", "link mirror (stands)",

		// A solver is told.
		"mail send", "link notice",

		// A link is deleted by hand.
		"link delete", "redis zrem tickets", "link drop", "redis xadd changes",

		// The connector is prepared.
		"boards GET projects/Alvaoproject", "redis hexists facts complete", "origin existing", "redis hset facts complete",

		// Both systems are polled.
		"redis hget facts cursor/poll-at", "redis hget facts cursor/poll", "redis hget facts cursor/changes-at",
		"redis hget facts cursor/poll-changes", "desk GET v1/tickets", "boards GET wit/reporting/workitemrevisions",
		"redis hmget workitems", "together: redis hmget link",
		"redis hset facts cursor/poll", "redis hset facts cursor/poll-at", "redis hset facts cursor/poll-changes",
		"redis hset facts cursor/changes-at",

		// Everything is read anew.
		"redis hget facts cursor/resync-at", "redis hget facts note/resync-basis", "redis hget resync-turn", "redis hgetall resyncs",
		"together: redis hkeys resync-cancels", "redis zcard tickets", "runs save", "redis smismember resync/*/listed",
		"redis smismember resync/*/back", "redis lrange resync/*/hints", "redis unlink resync/*", "together: redis zmscore */by-updated", "together: redis zmscore tickets",
		"redis hget facts note/brake", "redis zrange tickets", "together: redis get lease",
		"redis hset facts note/resync-basis", "redis hset facts cursor/resync-at",
		"together: redis multi",
	}
}

// sometimes are further steps that undisturbed acts may take or not: when a resync looks is
// up to its moment, and what it then finds.
func sometimes() []string { return []string{"runs settle"} }

// testedElsewhere says of scripts that no act runs why.
func testedElsewhere() map[string]string {
	return map[string]string{
		"inbox compact":  "it brings an older store forward, before anything is served; package inbox tests it",
		"link fix":       "it mends an index while links are listed; package link tests it",
		"runs ask":       "a person asks for a resync over the API; package runs tests it",
		"runs cancel":    "as above",
		"inbox stats":    "it only reads, for metrics",
		"limiter settle": "it bounds calls and remembers no item; package limiter tests it",
	}
}
