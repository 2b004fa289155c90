"""Events that are pushed: an HTTP endpoint that puts them into a topic. Run by `nrtctl listen`.

`events` and `cloudevents` say what is in a body, `login` who may send, `room` how much may be under
way, `bodies` how a body is received; `courier` hands events to Kafka and hears what became of them;
`app` answers a request, `connections` bounds what comes before one, `serving` runs all of it.
"""
