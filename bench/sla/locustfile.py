"""Requirement A4 as a Locust test: p50 < 50 ms, p95 < 150 ms, p99 < 300 ms, no failure.

RELAIS_TOKEN=… locust -f bench/sla/locustfile.py --headless -u 50 -r 50 -t 60s --host http://127.0.0.1:8080

Settings: RELAIS_MODEL (default iris) and RELAIS_BODY (a request for it); each user sends ten
requests per second. Exits with 1 when the SLA is missed.
"""

import os

from locust import FastHttpUser, constant_throughput, events, task

limits_ms = {0.50: 50, 0.95: 150, 0.99: 300}
model = os.environ.get("RELAIS_MODEL", "iris")
body = os.environ.get("RELAIS_BODY", '{"instances": [[5.1, 3.5, 1.4, 0.2]]}')
headers = {
    "Authorization": f"Bearer {os.environ['RELAIS_TOKEN']}",
    "Content-Type": "application/json",
}


class Caller(FastHttpUser):
    wait_time = constant_throughput(10)

    @task
    def predict(self):
        path = f"/v1/models/{model}:predict"
        with self.client.post(path, data=body, headers=headers, catch_response=True) as answer:
            if answer.status_code == 200 and "predictions" not in answer.json():
                answer.failure("no predictions in the answer")


@events.quitting.add_listener
def judge(environment, **_):
    total = environment.stats.total
    missed = [] if total.num_requests > 0 else ["no request was sent"]
    if total.num_failures > 0:
        missed.append(f"{total.num_failures} requests failed")
    for share, limit in limits_ms.items():
        took = total.get_response_time_percentile(share)
        print(f"p{share * 100:.0f} {took} ms, must be below {limit} ms")
        if not took < limit:
            missed.append(f"p{share * 100:.0f} is {took} ms")
    print("SLA met" if not missed else f"SLA missed: {'; '.join(missed)}")
    environment.process_exit_code = 1 if missed else 0
