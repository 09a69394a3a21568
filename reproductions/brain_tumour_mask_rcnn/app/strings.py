"""What the decision-support page says, in Turkish and in English."""

from __future__ import annotations

from typing import Dict

TEXTS: Dict[str, Dict[str, str]] = {
    "tr": {
        "title": "Beyin MR görüntüsünde tümör tespiti",
        "subtitle": "Mask R-CNN, {network} · araştırma arayüzü",
        "notice": "Yalnızca araştırma amaçlıdır, tanı için kullanılamaz.",
        "synthetic": "Bu model yapay görüntülerle eğitilmiştir: buldukları anlam taşımaz, yalnızca "
        "arayüzü gösterir.",
        "upload": "Görüntü yükle",
        "detect": "Tümör Tespiti",
        "threshold": "Güven eşiği",
        "threshold_hint": "Yalnızca skoru bu değere ulaşan bulgular gösterilir.",
        "hint": "PNG, JPEG, TIFF veya tek kareli DICOM; en çok {megabytes} MB ve {side} × {side} "
        "piksel.",
        "privacy": "Görüntü yalnızca bu bilgisayarın belleğinde işlenir, kaydedilmez.",
        "empty": "Henüz görüntü yok",
        "loading": "Model yükleniyor, lütfen bekleyin…",
        "no_model": "Model yüklenemedi: {reason}",
        "choose": "Model hazır. Bir MR görüntüsü yükleyin.",
        "ready": "Görüntü hazır. “Tümör Tespiti” düğmesine basın.",
        "working": "Görüntü inceleniyor…",
        "done": "İnceleme tamamlandı.",
        "failed": "Görüntü incelenemedi ({reason}). Başka bir görüntü deneyin.",
        "too_many_bytes": "“{name}” çok büyük: dosya en çok {megabytes} MB olabilir.",
        "too_many_pixels": "“{name}” çok büyük: görüntü en çok {side} × {side} piksel içerebilir.",
        "unreadable": "“{name}” okunamadı. Bozulmamış bir PNG, JPEG, TIFF veya tek kareli DICOM "
        "dosyası "
        "yükleyin.",
        "findings": "Bulgular",
        "none": "Bu eşikte bulgu yok. Bu, tümör olmadığı anlamına gelmez.",
        "below": "Eşiğin altında {count} aday var; en yüksek skor {score}.",
        "number": "No",
        "score": "Skor",
        "pixels": "Alan (piksel)",
        "area": "Alan (mm²)",
        "union": "Birleşik alan",
        "no_spacing": "mm² yalnızca dosya PixelSpacing içerdiğinde (DICOM) verilir.",
        "download": "Maskeyi indir (PNG)",
        "picture": "Yüklenen görüntü: {name}",
        "drawing": "{name} görüntüsünde işaretlenen bulgu sayısı: {count}",
        "model": "Model",
        "data": "eğitim verisi",
        "profile": "profil",
        "weights": "başlangıç ağırlıkları",
    },
    "en": {
        "title": "Tumour detection in brain MR images",
        "subtitle": "Mask R-CNN, {network} · research interface",
        "notice": "Research use only. Not for diagnosis.",
        "synthetic": "This model was trained on synthetic images: what it finds means nothing and "
        "only "
        "shows the page.",
        "upload": "Upload image",
        "detect": "Detect tumour",
        "threshold": "Confidence threshold",
        "threshold_hint": "Only findings whose score reaches this value are shown.",
        "hint": "PNG, JPEG, TIFF or single-frame DICOM; at most {megabytes} MB and {side} × "
        "{side} pixels.",
        "privacy": "The image is processed in this computer's memory only and is not stored.",
        "empty": "No image yet",
        "loading": "Loading the model, please wait…",
        "no_model": "The model could not be loaded: {reason}",
        "choose": "The model is ready. Upload an MR image.",
        "ready": "The image is ready. Press “Detect tumour”.",
        "working": "Examining the image…",
        "done": "Examination complete.",
        "failed": "The image could not be examined ({reason}). Try another one.",
        "too_many_bytes": "“{name}” is too large: a file may have at most {megabytes} MB.",
        "too_many_pixels": "“{name}” is too large: an image may have at most {side} × {side} "
        "pixels.",
        "unreadable": "“{name}” could not be read. Upload an undamaged PNG, JPEG, TIFF or "
        "single-frame "
        "DICOM file.",
        "findings": "Findings",
        "none": "No finding at this threshold. That does not mean that there is no tumour.",
        "below": "Below the threshold: {count} candidate(s), the highest score {score}.",
        "number": "No.",
        "score": "Score",
        "pixels": "Area (pixels)",
        "area": "Area (mm²)",
        "union": "Combined area",
        "no_spacing": "mm² are given only where the file has PixelSpacing (DICOM).",
        "download": "Download mask (PNG)",
        "picture": "The uploaded image: {name}",
        "drawing": "Number of findings marked in {name}: {count}",
        "model": "Model",
        "data": "training data",
        "profile": "profile",
        "weights": "initial weights",
    },
}
