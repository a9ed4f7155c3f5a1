"""What the service notes in a ledger about the present, for whoever asks: names of facts, values as JSON."""

SOURCE = "source"  # {lane: {"lost": why, or null, "since": seconds since 1970}}
FAULTS = "faults"  # {part: text} of what goes wrong in the threads
PROBLEMS = "problems"  # of scoring, a list of `status.Problem`
PROGRESS = "progress"  # {"share", "step"} of the calibration that runs
AFRESH = "afresh"  # not JSON: since when the part is another one, as the last one said who asked for that
BEGINS_ANEW = "begins_anew"  # not JSON: there while no calibration has come of that yet
PRESENT = "present"  # not JSON: what a calibration would hang on now, of `calibrated_with.settings_hash`
PASSING = "photos_pass"  # not JSON: the camera overwrites or deletes what it wrote, so photos are copied
SERVED = "schedule_served"  # not JSON: since when the present schedule is served
TRAITS_OF = "traits_of"  # not JSON: the sha256 of the encoder that the photos' traits were taken with
