# enqueue.py  (runs in UI layer)
from hms_svc import Job

job = Job(
    type="pothole.report",
    data={
        "user_id": "usr-44321",
        "lat": 38.8977,
        "lon": -77.0365,
        "photo": "s3://uploads/ravi.jpg"
    }
)
job.enqueue()          # pushes to Redis list
print("📨 job id:", job.id)
