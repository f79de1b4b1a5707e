-- wrk's figures in one line that a program reads (guest.py): requests, microseconds, the 50th, 99th and
-- 99.9th percentile of the latency in microseconds, errors.
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("\nREPORT %d %d %d %d %d %d\n", summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
		e.connect + e.read + e.write + e.status + e.timeout))
end
