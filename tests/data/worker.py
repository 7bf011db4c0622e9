# worker.py  (runs in HMS-SVC)
from hms_svc import Worker, dao, gov

def validate_dupe(data):                       # ❶ custom validator
    return not dao.case_exists(data["lat"], data["lon"])

def on_job(job):                               # ❷ main handler
    gov.vet(action="create_case", payload=job.data)   # Chapter 5
    case_id = dao.insert_case(job.data)        # DB write
    print("✅ stored as", case_id)

Worker(
    jobs="pothole.report",
    validators=[validate_dupe]
).start(on_job)
