"""Who may pass when: policy, schedules, PINs, attempt limits, and the gate that weighs them."""
